//! From OpenMetrics, which `prometheus-client` writes, to Prometheus' own text format, which every scraper and
//! `promtool` read: there a counter's family has the name of its samples, and there are neither units nor an end
//! marker.

/// Rewrites a whole exposition.
pub(crate) fn to_prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        // HELP comes before TYPE and has to have the same name.
        let is_counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
        let renamed = match line.starts_with("# HELP ") {
            true => lines.peek().is_some_and(|next| is_counter(next)),
            false => is_counter(line),
        };
        let mut parts = line.splitn(4, ' ');
        match (renamed, parts.next(), parts.next(), parts.next(), parts.next()) {
            (true, Some(hash), Some(keyword), Some(name), Some(rest)) => {
                out.extend([hash, " ", keyword, " ", name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::to_prometheus;

    #[test]
    fn counters_have_the_name_of_their_samples() {
        let open = "# HELP a_bytes What a says.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"# EOF\"} 1\n\
                    # HELP b Is it counter\n# TYPE b gauge\nb 2\n# EOF\n";
        let text = "# HELP a_bytes_total What a says.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"# EOF\"} 1\n\
                    # HELP b Is it counter\n# TYPE b gauge\nb 2\n";
        assert_eq!(to_prometheus(open), text);
    }
}
