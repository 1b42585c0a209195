//! The paths, their methods, and where they lead.

use crate::admin::api::problem::Problem;
use http::Method;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    Dashboard,
    Upstreams,
    Upstream,
    Put,
    Remove,
    Drain,
    Resume,
    Heartbeat,
    Deregister,
    Events,
    History,
    Plan,
    Apply,
    RotateKeys,
    OpenApi,
    Metrics,
}

pub(crate) const ROUTES: &[(Method, &str, Route)] = &[
    (Method::GET, "/", Route::Dashboard),
    (Method::GET, "/api/v1/upstreams", Route::Upstreams),
    (Method::GET, "/api/v1/upstreams/{name}", Route::Upstream),
    (Method::PUT, "/api/v1/upstreams/{name}", Route::Put),
    (Method::DELETE, "/api/v1/upstreams/{name}", Route::Remove),
    (Method::POST, "/api/v1/upstreams/{name}/drain", Route::Drain),
    (Method::POST, "/api/v1/upstreams/{name}/resume", Route::Resume),
    (Method::POST, "/api/v1/upstreams/{name}/heartbeat", Route::Heartbeat),
    (Method::POST, "/api/v1/upstreams/{name}/deregister", Route::Deregister),
    (Method::GET, "/api/v1/events", Route::Events),
    (Method::GET, "/api/v1/history", Route::History),
    (Method::GET, "/api/v1/openapi.json", Route::OpenApi),
    (Method::POST, "/api/v1/plan", Route::Plan),
    (Method::POST, "/api/v1/apply", Route::Apply),
    (Method::POST, "/api/v1/keys/rotate", Route::RotateKeys),
    (Method::GET, "/metrics", Route::Metrics),
];

/// The route of a request, and the name in its path (empty where there is none).
pub(crate) fn find(method: &Method, path: &str) -> Result<(Route, String), Problem> {
    let here = ROUTES.iter().filter_map(|(method, pattern, route)| Some((method, matches(pattern, path)?, *route)));
    let here: Vec<_> = here.collect();
    match here.iter().find(|(allowed, ..)| *allowed == method) {
        Some((_, name, route)) => Ok((*route, decode(name)?)),
        None if here.is_empty() => Err(Problem::no_route()),
        None => Err(Problem::no_method(here.into_iter().map(|(method, ..)| method.clone()).collect())),
    }
}

/// The segment of `path` in the place of `{name}`, where the path matches the pattern.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let mut name = "";
    let (mut expected, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return Some(name),
            (Some("{name}"), Some(segment)) if !segment.is_empty() => name = segment,
            (Some(expected), Some(given)) if expected == given => {}
            _ => return None,
        }
    }
}

/// Decodes the percent encoding (RFC 3986, section 2.1) of a segment.
fn decode(segment: &str) -> Result<String, Problem> {
    let wrong = || Problem::body("the path has a percent sign without two hexadecimal digits, or is not UTF-8");
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_say() {
        let found = |method, path| find(&method, path).unwrap();
        assert_eq!(found(Method::GET, "/api/v1/upstreams"), (Route::Upstreams, String::new()));
        assert_eq!(found(Method::PUT, "/api/v1/upstreams/a"), (Route::Put, "a".to_owned()));
        assert_eq!(found(Method::POST, "/api/v1/upstreams/a%2fb%25/drain"), (Route::Drain, "a/b%".to_owned()));
        for path in
            ["//", "", "/api/v1/upstreams/", "/api/v1/upstreams/a/", "/api/v1/upstreams/a/b", "/api/v1", "/metrics/"]
        {
            assert_eq!(find(&Method::GET, path).unwrap_err().code(), "no_route", "{path}");
        }
        for path in ["/api/v1/upstreams/%", "/api/v1/upstreams/%4", "/api/v1/upstreams/%+1", "/api/v1/upstreams/%ff"] {
            assert_eq!(find(&Method::GET, path).unwrap_err().code(), "body", "{path}");
        }
    }

    #[test]
    fn other_methods_are_refused_with_those_allowed() {
        let refused = find(&Method::POST, "/api/v1/upstreams/a").unwrap_err();
        assert_eq!(refused.allow, [Method::GET, Method::PUT, Method::DELETE]);
    }

    /// The OpenAPI document has every route and nothing else.
    #[test]
    fn the_document_has_these_routes_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(crate::admin::service::OPENAPI).unwrap();
        let mut documented = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                documented.push((method.to_uppercase(), path.clone()));
            }
        }
        let mut served: Vec<_> = ROUTES.iter().map(|(m, path, _)| (m.to_string(), (*path).to_owned())).collect();
        documented.sort();
        served.sort();
        assert_eq!(documented, served);
    }
}
