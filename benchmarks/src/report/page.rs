//! The page: self-contained, no script, readable on a phone, light and dark.

use std::fmt::Write as _;

use super::growth;
use super::markdown::versions;
use super::rows::{Row, Rows, rows};
use super::{palette, plot};
use crate::cases::{self, Group};
use crate::metric::{Metric, thousands};
use crate::peers::list::Peer;
use crate::results::{Figure, Results};

const STYLE: &str = include_str!("style.css");

pub fn page(results: &Results) -> String {
    let all: Vec<Rows> = cases::all()
        .into_iter()
        .filter_map(|case| rows(results, case))
        .collect();
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>greenloom beside its peers, {date}</title>\n<style>\n{variables}\n{STYLE}</style>\n\
         </head>\n<body>\n",
        date = escape(&results.date),
        variables = palette::variables(":root"),
    );
    head(&mut text, results);
    duels(&mut text, &all);
    plots(&mut text, results);
    workers(&mut text, &all);
    for group in Group::ALL {
        let of_group: Vec<&Rows> = all
            .iter()
            .filter(|r| r.case.what.group() == group)
            .collect();
        if of_group.is_empty() {
            continue;
        }
        let title = group.title();
        let _ = writeln!(text, "<section>\n<h2 id=\"{}\">{title}</h2>", anchor(group));
        for of_kind in of_group.chunk_by(|a, b| a.case.what == b.case.what) {
            let what = of_kind[0].case.what;
            let _ = writeln!(
                text,
                "<p><strong>{}.</strong> {}</p>",
                words(what.word()),
                escape(what.text())
            );
            of_kind.iter().for_each(|rows| case(&mut text, rows));
        }
        text.push_str("</section>\n");
    }
    text.push_str("</body>\n</html>\n");
    text
}

fn anchor(group: Group) -> String {
    format!("{group:?}").to_lowercase()
}

fn head(text: &mut String, results: &Results) {
    text.push_str("<header>\n<h1>greenloom beside its peers</h1>\n");
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "<dl><dt>measured</dt><dd>{}</dd><dt>machine</dt><dd>{} CPUs of an {}, {} GiB, {}</dd>\
         <dt>compiler</dt><dd>rustc {}</dd><dt>peers</dt><dd>{}</dd></dl>",
        escape(&results.date),
        machine.cpus,
        escape(&machine.cpu),
        machine.memory_gib,
        escape(&machine.kernel),
        escape(&machine.rustc),
        escape(&versions(results)),
    );
    text.push_str(
        "<p class=\"faint\">Each figure is the median of processes that did nothing else; peers took turns \
         within each repetition. Dots stand on logarithmic tracks; the bar through a dot reaches from the \
         smallest to the largest sample. \
         Names in <em>italics</em> are floors, not runtimes: bare coroutines, bare system calls.</p>\n<nav>\n",
    );
    text.push_str("<a href=\"#duels\">At a glance</a> <a href=\"#growth\">Growth</a> <a href=\"#workers\">Workers</a>\n");
    for group in Group::ALL {
        let _ = writeln!(text, "<a href=\"#{}\">{}</a>", anchor(group), group.title());
    }
    text.push_str("</nav>\n");
    if !results.missing.is_empty() {
        text.push_str("<details><summary>Peers that could not take part</summary><ul>\n");
        for (peer, reason) in &results.missing {
            let _ = writeln!(text, "<li>{}: {}</li>", escape(peer), escape(reason));
        }
        text.push_str("</ul></details>\n");
    }
    text.push_str("</header>\n");
}

/// Where we stand: each case against the best of the other runtimes, the worst for us first.
fn duels(text: &mut String, all: &[Rows]) {
    let mut duels: Vec<(f64, &Rows, &Row, &Row)> = all
        .iter()
        .filter_map(|rows| {
            let (ours, best) = rows.duel()?;
            Some((rows.against_greenloom(&best.first)?, rows, ours, best))
        })
        .collect();
    if duels.is_empty() {
        return;
    }
    duels.sort_by(|a, b| b.0.total_cmp(&a.0));
    let led = duels.iter().filter(|duel| duel.0 <= 1.0).count();
    let _ = write!(
        text,
        "<section>\n<h2 id=\"duels\">At a glance</h2>\n<p>greenloom leads {led} of {} cases that another \
         runtime does as well; the first column of figures is ours, the second that of the best other \
         runtime in the case, whichever it is. Where we lose stands on top.</p>\n\
         <table class=\"duels\"><tr><th>case</th><th>greenloom</th><th>best other</th>\
         <th class=\"wide\">which is</th><th>ours is</th></tr>\n",
        duels.len()
    );
    for (ratio, rows, ours, best) in duels {
        let (class, verdict) = match ratio {
            r if r > 1.005 => ("worse", format!("{} worse", times(r))),
            r if r < 0.995 => ("better", format!("{} better", times(1.0 / r))),
            _ => ("", String::from("the same")),
        };
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"wide\">{}</td><td class=\"{class}\">{verdict}</td></tr>",
            title(rows),
            rows.metric.format(ours.first.median),
            rows.metric.format(best.first.median),
            best.peer.title(),
        );
    }
    text.push_str("</table>\n</section>\n");
}

fn times(ratio: f64) -> String {
    match ratio {
        r if r >= 10.0 => format!("{r:.0}×"),
        r if r >= 1.1 => format!("{r:.1}×"),
        r => format!("{:.0} %", (r - 1.0) * 100.0),
    }
}

fn plots(text: &mut String, results: &Results) {
    let drawn: Vec<String> = growth::ALL
        .iter()
        .filter_map(|growth| plot::inline(growth, &growth.series(results)))
        .collect();
    if drawn.is_empty() {
        return;
    }
    text.push_str(
        "<section>\n<h2 id=\"growth\">How cost grows</h2>\n<p>One worker. Both axes are logarithmic: a level \
         line is a cost that does not grow.</p>\n<div class=\"plots\">\n",
    );
    for plot in drawn {
        let _ = writeln!(text, "<figure>{plot}</figure>");
    }
    text.push_str("</div>\n</section>\n");
}

/// What a second worker brings: the figure of one divided by that of two.
fn workers(text: &mut String, all: &[Rows]) {
    let of_two = all.iter().filter(|rows| rows.case.workers == 2);
    let pairs: Vec<(&Rows, &Rows)> = of_two
        .filter_map(|two| {
            let is_one = |one: &&Rows| one.case.workers == 1 && is_same(one, two);
            Some((all.iter().find(is_one)?, two))
        })
        .filter(|(_, two)| two.case.what.group() != Group::Processes)
        .collect();
    let gain = |(one, two): &(&Rows, &Rows), peer: Peer| {
        let figure =
            |rows: &Rows| Some(rows.rows.iter().find(|row| row.peer == peer)?.first.median);
        let gain = figure(one)? / figure(two)?;
        Some(if two.metric.more_is_better() {
            1.0 / gain
        } else {
            gain
        })
    };
    let peers: Vec<Peer> = Peer::ALL
        .into_iter()
        .filter(|&peer| pairs.iter().any(|pair| gain(pair, peer).is_some()))
        .collect();
    if peers.is_empty() {
        return;
    }
    text.push_str(
        "<section>\n<h2 id=\"workers\">From one worker to two</h2>\n<p>How many times as fast a case is with \
         two workers on two CPUs as with one on one. Waiting for one another across CPUs costs more than it \
         brings on most machines; who keeps such tasks on one worker stays at 1.</p>\n\
         <div class=\"scroll\"><table class=\"duels\"><tr><th>case</th>",
    );
    for peer in &peers {
        let _ = write!(text, "<th>{}</th>", peer.title());
    }
    text.push_str("</tr>\n");
    for pair in &pairs {
        let _ = write!(text, "<tr><td>{}</td>", title(pair.0));
        for &peer in &peers {
            let cell = gain(pair, peer).map_or(String::from("·"), |gain| format!("{gain:.2}"));
            let _ = write!(text, "<td>{cell}</td>");
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</table></div>\n</section>\n");
}

/// The same work at the same size.
fn is_same(one: &Rows, two: &Rows) -> bool {
    (one.case.what, one.case.size) == (two.case.what, two.case.size)
}

fn words(word: &str) -> String {
    let mut words = word
        .replace('_', " ")
        .replace("http", "HTTP")
        .replace("cpu", "CPU");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn title(rows: &Rows) -> String {
    let case = &rows.case;
    let mut title = words(case.what.word());
    if case.size > 0 {
        let _ = write!(title, ", {}", thousands(case.size as i64));
    }
    if case.workers > 1 {
        let _ = write!(title, ", {} workers", case.workers);
    }
    title
}

fn case(text: &mut String, rows: &Rows) {
    let per = rows.case.what.per();
    let _ = write!(
        text,
        "<h3>{} <span class=\"faint\">{}</span></h3>\n<table><tr><th></th><th></th><th></th>\
         <th class=\"wide\">to ours</th>",
        title(rows),
        axis(rows)
    );
    let columns = rows.rows.first().map_or(&[][..], |row| &row.rest);
    for (metric, _) in columns {
        let _ = write!(text, "<th class=\"wide\">{}</th>", short(*metric, per));
    }
    text.push_str("<th class=\"wide\">others took</th></tr>\n");
    let scale = Scale::of(rows);
    rows.rows
        .iter()
        .for_each(|row| self::row(text, rows, row, &scale));
    text.push_str("</table>\n");
    if rows.cannot.is_empty() {
        return;
    }
    let names: Vec<&str> = rows.cannot.iter().map(|(peer, _)| peer.title()).collect();
    let _ = writeln!(
        text,
        "<details><summary>Not here: {}</summary><ul>",
        names.join("; ")
    );
    for (peer, reason) in &rows.cannot {
        let _ = writeln!(text, "<li>{}: {}</li>", peer.title(), escape(reason));
    }
    text.push_str("</ul></details>\n");
}

fn axis(rows: &Rows) -> String {
    let better = match rows.metric.more_is_better() {
        true => "more is better",
        false => "less is better",
    };
    format!(
        "{}, {better}, logarithmic",
        rows.metric.title(rows.case.what.per())
    )
}

fn short(metric: Metric, per: &str) -> String {
    match metric {
        Metric::Rate => format!("{per}s per second"),
        Metric::P50 => "median".into(),
        Metric::P99 => "99 %".into(),
        Metric::Cpu => "server CPU".into(),
        Metric::Memory => format!("memory per {per}"),
        Metric::Time => format!("per {per}"),
        Metric::Instructions => "instructions".into(),
    }
}

fn row(text: &mut String, rows: &Rows, row: &Row, scale: &Scale) {
    let class = match row.peer {
        Peer::Greenloom => " class=\"ours\"",
        peer if peer.is_floor() => " class=\"floor\"",
        _ => "",
    };
    let figure = &row.first;
    let (low, high) = (scale.place(figure.min), scale.place(figure.max));
    let _ = write!(
        text,
        "<tr{class}><td class=\"peer\">{}</td><td class=\"track\"><div style=\"color:var(--{})\">{}\
         <b style=\"left:{low:.1}%;width:{:.1}%\"></b><s style=\"left:{:.1}%\"></s></div></td>\
         <td title=\"{} to {}, {} samples\">{}</td><td class=\"wide\">{}</td>",
        row.peer.title(),
        row.peer.id(),
        scale.lines,
        high - low,
        scale.place(figure.median),
        rows.metric.format(figure.min),
        rows.metric.format(figure.max),
        figure.count,
        rows.metric.format(figure.median),
        ratio(rows, row),
    );
    for (metric, figure) in &row.rest {
        let value = figure.map_or(String::from("·"), |f: Figure| metric.format(f.median));
        let _ = write!(text, "<td class=\"wide\">{value}</td>");
    }
    let _ = writeln!(
        text,
        "<td class=\"wide faint\">{:.0} %</td></tr>",
        figure.others * 100.0
    );
}

fn ratio(rows: &Rows, row: &Row) -> String {
    if row.peer == Peer::Greenloom {
        return String::new();
    }
    match rows.against_greenloom(&row.first) {
        Some(r) if r > 1.005 => format!("{} better", times(r)),
        Some(r) if r < 0.995 => format!("{} worse", times(1.0 / r)),
        Some(_) => "the same".into(),
        None => String::new(),
    }
}

/// From values to places on a track, in percent, by the logarithm.
struct Scale {
    low: f64,
    high: f64,
    /// The powers of ten, drawn.
    lines: String,
}

impl Scale {
    fn of(rows: &Rows) -> Scale {
        let figures = || rows.rows.iter().map(|row| &row.first);
        let low = figures()
            .map(|f| f.min)
            .fold(f64::INFINITY, f64::min)
            .max(1e-9);
        let high = figures().map(|f| f.max).fold(low, f64::max);
        // At least half a decade: a spread of some percent shall look like that.
        let middle = (low.log10() + high.log10()) / 2.0;
        let half = ((high.log10() - low.log10()) / 2.0).max(0.25) * 1.04;
        let mut scale = Scale {
            low: middle - half,
            high: middle + half,
            lines: String::new(),
        };
        for power in scale.low.ceil() as i32..=scale.high.floor() as i32 {
            let place = scale.place(10_f64.powi(power));
            let _ = write!(scale.lines, "<i style=\"left:{place:.1}%\"></i>");
        }
        scale
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.max(1e-9).log10() - self.low) / (self.high - self.low);
        share.clamp(0.0, 1.0) * 100.0
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
