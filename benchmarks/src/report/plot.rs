//! A growth plot as SVG: both axes logarithmic, a line for each peer, its name at the line's end.
//!
//! plotters draws with colours that stand for names; they are replaced by variables of the style sheet
//! around the picture, so that it follows the reader's choice of light or dark.

use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};
use plotters::prelude::{
    ChartBuilder, Circle, DrawingBackend, IntoDrawingArea, LineSeries, PathElement, RGBColor,
    SVGBackend, Text,
};
use plotters::style::{Color, IntoFont, TextStyle};

use super::growth::{Growth, Series};
use super::palette;
use crate::metric::{Metric, thousands};
use crate::peers::list::Peer;

const WIDTH: u32 = 560;
const HEIGHT: u32 = 420;
/// Room for the names on the right.
const NAMES: u32 = 160;
/// Room for the sizes below.
const X_LABELS: i32 = 48;
/// Lines of text keep this far apart.
const LINE_HEIGHT: i32 = 18;

/// Stand for variables: `#0100NN` for the peer of that number.
const INK: RGBColor = RGBColor(2, 0, 0);
const FAINT: RGBColor = RGBColor(2, 0, 1);
const LINE: RGBColor = RGBColor(2, 0, 2);

fn color(peer: Peer) -> RGBColor {
    let place = Peer::ALL.iter().position(|&other| other == peer);
    RGBColor(1, 0, place.expect("all are in the list") as u8)
}

/// For a page that has the variables; `None` when there is nothing to draw.
pub fn inline(growth: &Growth, series: &[Series]) -> Option<String> {
    let text = draw(growth, series)?;
    let mut text = name_colors(&text);
    let label = format!(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" ",
        growth.title
    );
    let head =
        format!("<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" ");
    text = text.replacen(&head, &label, 1);
    Some(text)
}

/// As a file of its own, which brings its variables along.
pub fn standalone(growth: &Growth, series: &[Series]) -> Option<String> {
    let text = name_colors(&draw(growth, series)?);
    let style = format!(
        "<style>{}\ntext{{font-family:system-ui,sans-serif}}</style>",
        palette::variables("svg")
    );
    let end = text.find('>')? + 1;
    Some(format!("{}\n{style}{}", &text[..end], &text[end..]))
}

fn name_colors(text: &str) -> String {
    let mut text = text.to_owned();
    for (place, peer) in Peer::ALL.iter().enumerate() {
        text = text.replace(
            &format!("#0100{place:02X}"),
            &format!("var(--{})", peer.id()),
        );
    }
    for (color, name) in [
        ("#020000", "ink"),
        ("#020001", "faint"),
        ("#020002", "line"),
    ] {
        text = text.replace(color, &format!("var(--{name})"));
    }
    text
}

/// A little more than what the values span.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values {
        (low, high) = (low.min(value), high.max(value));
    }
    // At least half a decade, or the plot makes much of nothing.
    let (low, high) = (low / 1.25, high * 1.25);
    (low.is_finite() && low > 0.0).then_some((low, high.max(low * 3.0)))
}

/// Where an axis is labelled: at the powers of ten, and between them where these are few.
fn steps(low: f64, high: f64) -> Vec<f64> {
    let between: &[f64] = match (high / low).log10() {
        decades if decades < 0.9 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        decades if decades < 2.2 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    powers
        .flat_map(|power| between.iter().map(move |step| step * 10_f64.powi(power)))
        .filter(|at| (low..=high).contains(at))
        .collect()
}

fn draw(growth: &Growth, all: &[Series]) -> Option<String> {
    let points = || all.iter().flat_map(|series| &series.points);
    let (left, right) = range(points().map(|(size, _)| *size as f64))?;
    let (low, high) = range(points().map(|(_, figure)| figure.median))?;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        let (title, below) = root.split_vertically(34);
        let (area, _) = below.split_horizontally(WIDTH - NAMES);
        let font = |size: i32, color: RGBColor| -> TextStyle<'static> {
            ("sans-serif", size).into_font().color(&color)
        };
        title
            .draw(&Text::new(growth.title, (8, 6), font(18, INK)))
            .ok()?;
        let mut chart = ChartBuilder::on(&area)
            .x_label_area_size(X_LABELS)
            .y_label_area_size(70)
            .margin_top(6)
            .margin_right(4)
            .build_cartesian_2d(
                (left..right)
                    .log_scale()
                    .with_key_points(steps(left, right)),
                (low..high).log_scale().with_key_points(steps(low, high)),
            )
            .ok()?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(LINE.mix(0.0))
            .bold_line_style(LINE)
            .axis_style(FAINT)
            .x_desc(growth.grows)
            .axis_desc_style(font(15, FAINT))
            .label_style(font(15, FAINT))
            .x_label_formatter(&|size| thousands(size.round() as i64))
            .y_label_formatter(&|value| tick(growth.metric, *value))
            .draw()
            .ok()?;
        // Ours last, so that it lies on top.
        let mut order: Vec<&Series> = all.iter().collect();
        order.sort_by_key(|series| series.peer == Peer::Greenloom);
        let mut ends = Vec::new();
        for series in order {
            let color = color(series.peer);
            let width = if series.peer == Peer::Greenloom { 3 } else { 2 };
            let line = series
                .points
                .iter()
                .map(|(size, figure)| (*size as f64, figure.median));
            chart
                .draw_series(LineSeries::new(line.clone(), color.stroke_width(width)))
                .ok()?;
            chart
                .draw_series(
                    line.clone()
                        .map(|at| Circle::new(at, width + 1, color.filled())),
                )
                .ok()?;
            // From the smallest to the largest sample.
            let spread = series.points.iter().map(|(size, figure)| {
                let x = *size as f64;
                PathElement::new(
                    vec![(x, figure.min.max(low)), (x, figure.max.min(high))],
                    color,
                )
            });
            chart.draw_series(spread).ok()?;
            let at = chart.backend_coord(&line.clone().next_back()?);
            ends.push((at, series.peer));
        }
        names(&root, ends)?;
        root.present().ok()?;
    }
    Some(text)
}

/// The peers' names on the right, each as near to its line's end as the others allow.
fn names<DB: DrawingBackend>(
    root: &plotters::drawing::DrawingArea<DB, plotters::coord::Shift>,
    mut ends: Vec<((i32, i32), Peer)>,
) -> Option<()> {
    ends.sort_by_key(|((_, y), _)| *y);
    let mut places: Vec<i32> = Vec::new();
    for ((_, y), _) in &ends {
        let free = places.last().map_or(0, |above| above + LINE_HEIGHT);
        places.push((y - LINE_HEIGHT / 2).max(free));
    }
    // What was pushed over the lower edge moves up again.
    let mut bottom = HEIGHT as i32 - X_LABELS - LINE_HEIGHT;
    for place in places.iter_mut().rev() {
        *place = (*place).min(bottom);
        bottom = *place - LINE_HEIGHT;
    }
    let x = (WIDTH - NAMES + 8) as i32;
    for (((end_x, end_y), peer), y) in ends.into_iter().zip(places) {
        let color = color(peer);
        // Leads from the line's end to the name where they lie apart.
        let lead = vec![(end_x + 5, end_y), (x - 3, y + LINE_HEIGHT / 2)];
        root.draw(&PathElement::new(lead, color.mix(0.45))).ok()?;
        let style = ("sans-serif", 15).into_font().color(&color);
        root.draw(&Text::new(peer.title(), (x, y), style)).ok()?;
    }
    Some(())
}

/// At an axis: no more digits than a power of ten needs.
fn tick(metric: Metric, value: f64) -> String {
    let text = metric.format(value);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}
