//! Small multiples as SVG: panels with a common scale in rows, with lines, bands, horizontal levels and labelled times.

use std::error::Error;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

const WIDTH: f64 = 1000.0;
/// Margins: left of the first panel, above the first row, right of the last panel, below the last row.
const LEFT: f64 = 56.0;
const TOP: f64 = 96.0;
const RIGHT: f64 = 16.0;
const BOTTOM: f64 = 16.0;
const GAP: f64 = 16.0;
/// The height of a panel's title.
const HEAD: f64 = 26.0;
const HEIGHT: f64 = 190.0;

const GREY: &str = "#777";

/// Points of a line, in the plot's units.
pub type Line = Vec<(f64, f64)>;

/// An element of a panel; elements are drawn in order.
pub enum Mark {
    /// A line with its colour.
    Line(Line, &'static str),
    /// The area between a lower and an upper line.
    Band(Line, Line, &'static str),
    /// A dashed horizontal line.
    Level(f64),
    /// A dotted vertical line with a label.
    Moment(f64, &'static str),
}

pub struct Panel {
    pub title: String,
    pub marks: Vec<Mark>,
}

pub struct Plot {
    pub title: String,
    /// Colours and their meaning.
    pub legend: Vec<(&'static str, &'static str)>,
    pub x: Range<f64>,
    pub y: Range<f64>,
    /// The distances of the grid lines.
    pub steps: (f64, f64),
    /// The label of the horizontal axis; the title names the vertical one.
    pub across: &'static str,
    pub rows: Vec<Vec<Panel>>,
}

impl Plot {
    /// Writes the plot to a file, and prints its path.
    pub fn save(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        std::fs::write(path, self.svg()?)?;
        println!("\nplotted in {}", path.display());
        Ok(())
    }

    fn svg(&self) -> Result<String, std::fmt::Error> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(1) as f64;
        let width = (WIDTH - LEFT - RIGHT - GAP * (columns - 1.0)) / columns;
        let height = TOP + self.rows.len() as f64 * (HEAD + HEIGHT) + BOTTOM;
        let mut out = String::new();
        writeln!(
            out,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12" fill="#333">
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
<text x="{LEFT}" y="28" font-size="17" font-weight="600">{}</text>"##,
            self.title
        )?;
        let mut x = LEFT;
        for (colour, meaning) in &self.legend {
            writeln!(out, r#"<rect x="{x}" y="44" width="14" height="10" rx="2" fill="{colour}"/>"#)?;
            writeln!(out, r#"<text x="{}" y="53">{meaning}</text>"#, x + 19.0)?;
            x += 40.0 + 6.2 * meaning.len() as f64;
        }
        for (row, panels) in self.rows.iter().enumerate() {
            for (column, panel) in panels.iter().enumerate() {
                let frame = Frame {
                    plot: self,
                    left: LEFT + column as f64 * (width + GAP),
                    top: TOP + row as f64 * (HEAD + HEIGHT),
                    width,
                };
                frame.draw(&mut out, panel, column == 0, row + 1 == self.rows.len())?;
            }
        }
        writeln!(out, r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#, WIDTH - RIGHT, height - 8.0, self.across)?;
        writeln!(out, "</svg>")?;
        Ok(out)
    }
}

/// The position and size of a panel.
struct Frame<'a> {
    plot: &'a Plot,
    left: f64,
    top: f64,
    width: f64,
}

impl Frame<'_> {
    fn x(&self, x: f64) -> f64 {
        let Range { start, end } = self.plot.x;
        self.left + (x.clamp(start, end) - start) / (end - start) * self.width
    }

    fn y(&self, y: f64) -> f64 {
        let Range { start, end } = self.plot.y;
        self.top + HEIGHT * (1.0 - (y.clamp(start, end) - start) / (end - start))
    }

    fn path<'p>(&self, points: impl Iterator<Item = &'p (f64, f64)>) -> String {
        points.map(|(x, y)| format!("{:.1},{:.1}", self.x(*x), self.y(*y))).collect::<Vec<_>>().join(" ")
    }

    fn draw(&self, out: &mut String, panel: &Panel, first: bool, last: bool) -> std::fmt::Result {
        let (right, bottom) = (self.left + self.width, self.top + HEIGHT);
        writeln!(out, r#"<g stroke="{GREY}" stroke-opacity=".2">"#)?;
        for y in ticks(&self.plot.y, self.plot.steps.1) {
            writeln!(out, r#"<path d="M{:.1} {:.1}H{right:.1}"/>"#, self.left, self.y(y))?;
        }
        writeln!(out, "</g>")?;
        for y in ticks(&self.plot.y, self.plot.steps.1).filter(|_| first) {
            writeln!(
                out,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{y}</text>"#,
                self.left - 6.0,
                self.y(y) + 4.0
            )?;
        }
        for x in ticks(&self.plot.x, self.plot.steps.0).filter(|_| last) {
            writeln!(out, r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{x}</text>"#, self.x(x), bottom + 16.0)?;
        }
        for mark in &panel.marks {
            match mark {
                Mark::Line(points, colour) => writeln!(
                    out,
                    r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>"#,
                    self.path(points.iter())
                )?,
                Mark::Band(lower, upper, colour) => writeln!(
                    out,
                    r#"<polygon points="{}" fill="{colour}" fill-opacity=".25"/>"#,
                    self.path(lower.iter().chain(upper.iter().rev()))
                )?,
                Mark::Level(y) => writeln!(
                    out,
                    r##"<path d="M{:.1} {:.1}H{right:.1}" stroke="#333" stroke-dasharray="5 4"/>"##,
                    self.left,
                    self.y(*y)
                )?,
                Mark::Moment(x, what) => {
                    let at = self.x(*x);
                    let top = self.top;
                    writeln!(
                        out,
                        r##"<path d="M{at:.1} {top:.1}V{bottom:.1}" stroke="#333" stroke-dasharray="1.5 3"/>"##
                    )?;
                    writeln!(out, r#"<text x="{:.1}" y="{:.1}" font-size="10">{what}</text>"#, at + 3.0, top + 10.0)?;
                }
            }
        }
        writeln!(
            out,
            r#"<text x="{:.1}" y="{:.1}" font-weight="600">{}</text>"#,
            self.left,
            self.top - 6.0,
            panel.title
        )
    }
}

fn ticks(range: &Range<f64>, step: f64) -> impl Iterator<Item = f64> + use<> {
    let end = range.end;
    std::iter::successors(Some((range.start / step).ceil() * step + 0.0), move |at| Some(at + step))
        .take_while(move |at| *at <= end)
}
