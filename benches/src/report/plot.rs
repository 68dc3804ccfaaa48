//! Plots: ratios (a line for each row's interval on a logarithmic axis, a dot for its median, a tick for its goal), and how costs grow.

use std::fmt::Write as _;

use crate::row::{Goal, Row, Verdict, number};

const WIDTH: f64 = 900.0;
/// Where the axis begins: names stand before it.
const LEFT: f64 = 380.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 34.0;
const ROW: f64 = 24.0;
/// Ratios with a line of their own.
const MARKS: [f64; 16] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0];

/// Readable on a light page and on a dark one.
const GREY: &str = "#7d8590";
const MET: &str = "#2da44e";
const MISSED: &str = "#cf222e";
const SHOWN: &str = "#4f8fd6";
const UNSURE: &str = "#bf8700";

/// The rows that have a ratio.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a few rows")]
pub fn ratios(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.ratio.is_some()).collect();
    let all: Vec<f64> = rows.iter().flat_map(|row| reach(row)).chain([1.0]).filter(|figure| *figure > 0.0).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min) / 1.1;
    let high = all.iter().copied().fold(0.0, f64::max) * 1.1;
    let x = |ratio: f64| LEFT + (ratio / low).ln() / (high / low).ln() * (WIDTH - LEFT - RIGHT);
    let height = TOP + ROW * rows.len() as f64 + 12.0;
    let mut svg = String::new();
    // A `String` takes all that is written to it.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">"
    );
    let _ = writeln!(svg, "<title>Ratios to their floors, with 95 % intervals; a tick is the goal</title>");
    for mark in MARKS.into_iter().filter(|mark| (low..=high).contains(mark)) {
        let (at, width) = (x(mark), if mark == 1.0 { 1.5 } else { 0.5 });
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{GREY}\" stroke-width=\"{width}\"/>\
             <text x=\"{at:.1}\" y=\"18\" fill=\"{GREY}\" text-anchor=\"middle\">{mark}x</text>",
            TOP - 8.0,
            height - 6.0
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let colour = match row.verdict {
            Verdict::Met => MET,
            Verdict::Missed => MISSED,
            Verdict::Inconclusive => UNSURE,
            Verdict::Shown => SHOWN,
        };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{GREY}\" text-anchor=\"end\">{} {}</text>",
            LEFT - 12.0,
            y + 4.0,
            row.id,
            escaped(&row.name)
        );
        let [from, median, to] = interval(row);
        let _ = writeln!(
            svg,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{colour}\"/>",
            x(from),
            x(to),
            x(median)
        );
        if let Goal::RatioAtMost(goal) | Goal::RatioAtLeast(goal) = row.goal {
            let _ = writeln!(
                svg,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                x(goal),
                y - 8.0,
                y + 8.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Bounds and median of a row's ratio. Where the interval is of the value, the ratio is drawn as a point.
fn interval(row: &Row) -> [f64; 3] {
    let ratio = row.ratio.unwrap_or(1.0);
    match row.goal {
        Goal::AtMost(_) | Goal::AtLeast(_) => [ratio; 3],
        Goal::RatioAtMost(_) | Goal::RatioAtLeast(_) | Goal::None => [row.ci[0], ratio, row.ci[1]],
    }
}

/// All that is drawn of a row.
fn reach(row: &Row) -> Vec<f64> {
    let mut reach = interval(row).to_vec();
    if let Goal::RatioAtMost(goal) | Goal::RatioAtLeast(goal) = row.goal {
        reach.push(goal);
    }
    reach
}

/// The axes of row 14, and what their x is.
const AXES: [(&str, &str); 3] = [
    ("size", "bytes of a depth update"),
    ("instruments", "instruments of a feed"),
    ("strategies", "strategies on a worker"),
];

/// How costs grow: a panel for each axis, both of its scales logarithmic. Empty without such rows.
#[must_use]
pub fn growth(rows: &[Row]) -> String {
    const PANEL: f64 = 300.0;
    const SIDE: f64 = 210.0;
    let mut panels = String::new();
    let mut count = 0;
    for (axis, about) in AXES {
        let points: Vec<(f64, &Row)> = rows.iter().filter_map(|row| Some((place(row, axis)?, row))).collect();
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        let left = PANEL * f64::from(count) + 56.0;
        count += 1;
        let (low, high) = (first.0 / 1.3, last.0 * 1.3);
        let bottom = points.iter().map(|(_, row)| row.ci[0]).fold(f64::INFINITY, f64::min) / 1.5;
        let top = points.iter().map(|(_, row)| row.ci[1]).fold(0.0, f64::max) * 1.5;
        let x = |at: f64| left + (at / low).ln() / (high / low).ln() * SIDE;
        let y = |ns: f64| 30.0 + (1.0 - (ns / bottom).ln() / (top / bottom).ln()) * SIDE;
        let _ = writeln!(
            panels,
            "<rect x=\"{left:.1}\" y=\"30\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"{GREY}\" stroke-width=\"0.5\"/>\
             <text x=\"{:.1}\" y=\"18\" fill=\"{GREY}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{GREY}\" text-anchor=\"middle\">{about}</text>",
            left + SIDE / 2.0,
            escaped(&first.1.unit),
            left + SIDE / 2.0,
            30.0 + SIDE + 34.0
        );
        let line: Vec<String> = points.iter().map(|(at, row)| format!("{:.1},{:.1}", x(*at), y(row.value))).collect();
        let _ = writeln!(
            panels,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{SHOWN}\" stroke-width=\"1.5\"/>",
            line.join(" ")
        );
        for (at, row) in &points {
            let [low, high] = row.ci;
            let _ = writeln!(
                panels,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\" stroke=\"{SHOWN}\" stroke-width=\"2\"/>\
                 <circle cx=\"{0:.1}\" cy=\"{3:.1}\" r=\"3.5\" fill=\"{SHOWN}\"/>\
                 <text x=\"{0:.1}\" y=\"{4:.1}\" fill=\"{GREY}\" text-anchor=\"middle\" font-size=\"10\">{5}</text>\
                 <text x=\"{0:.1}\" y=\"{6:.1}\" fill=\"{GREY}\" text-anchor=\"middle\" font-size=\"10\">{at}</text>",
                x(*at),
                y(low),
                y(high),
                y(row.value),
                y(high) - 8.0,
                number(row.value),
                30.0 + SIDE + 16.0
            );
        }
    }
    if count == 0 {
        return String::new();
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>How costs grow; both scales are logarithmic</title>\n{panels}</svg>\n",
        PANEL * f64::from(count),
        30.0 + SIDE + 44.0
    )
}

/// Where a row lies on an axis.
fn place(row: &Row, axis: &str) -> Option<f64> {
    row.id.strip_prefix("14.")?.strip_prefix(axis)?.strip_prefix('.')?.parse().ok()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
