//! The picture of a threshold: readings against bounds, with what the engine made of them. SVG, inside of a page.

use std::fmt::Write as _;

use super::{
    super::{
        facts::{Instant, Span},
        policy::thresholds::word,
        table::html,
        units::BaseUnit,
    },
    Period,
    course::{Column, Line, State, Watched},
    report::lasted,
    watch::time,
};

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 28.0;
/// Lines across, about.
const ROWS: f64 = 4.0;
/// Labels below, at most.
const MOST_TIMES: i64 = 8;
/// Distances of labels below, in minutes.
const PACES: [i64; 15] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 40_320];

/// An alert about the threshold.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    pub at: Instant,
    pub severity: &'a str,
    pub text: &'a str,
}

struct Frame {
    period: Period,
    least: f64,
    most: f64,
}

impl Frame {
    #[expect(clippy::cast_precision_loss, reason = "a picture has fewer pixels than that")]
    fn x(&self, at: Instant) -> f64 {
        let length = self.period.to.since(self.period.from).as_millis().max(1) as f64;
        let share = at.since(self.period.from).as_millis() as f64 / length;
        LEFT + (WIDTH - LEFT - RIGHT) * share.clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.least) / (self.most - self.least);
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0))
    }
}

/// The picture. `id` is unique on the page.
pub fn svg(row: &Watched, title: &str, id: &str, period: Period, marks: &[Mark<'_>]) -> String {
    let (least, most, step) = scale(row);
    let frame = Frame { period, least, most };
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\n<title id=\"{id}-t\">{}</title>\n\
         <desc id=\"{id}-d\">{}</desc>\n",
        html(title),
        html(&described(row, period, marks))
    );
    grid(&mut out, &frame, row.unit, step);
    bands(&mut out, &frame, row);
    curve(&mut out, &frame, &row.columns);
    bounds(&mut out, &frame, row);
    for mark in marks {
        let x = frame.x(mark.at);
        let _ = writeln!(
            out,
            "<g class=\"mark {}\"><title>{}</title><path d=\"M{x:.1} {:.1}v-{:.1}\"/><path class=\"flag\" d=\"M{x:.1} 8h11l-3 4 3 4h-11z\"/></g>",
            class(mark.severity),
            html(&format!("{} {}", time(mark.at), mark.text)),
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM - 8.0,
        );
    }
    out.push_str("</svg>\n");
    out
}

/// A severity as a class of the style sheet. Labels of alerts are text of others.
pub fn class(severity: &str) -> &'static str {
    match severity {
        "critical" => "critical",
        "info" => "info",
        _ => "warning",
    }
}

/// What the picture shows, for those who cannot see it.
fn described(row: &Watched, period: Period, marks: &[Mark<'_>]) -> String {
    let (states, _) = row.times(period.to);
    let times =
        states.iter().map(|(word, time)| format!("{word} for {}", lasted(*time))).collect::<Vec<_>>().join(", ");
    let readings = if row.readings == 0 {
        "There are no readings".to_owned()
    } else {
        format!("{} readings from {} to {}", row.readings, row.unit.format(row.least), row.unit.format(row.most))
    };
    let bounds = row.lines.last().map(|(_, lines)| lines.iter().map(spelled).collect::<Vec<_>>().join(", "));
    let bounds = bounds.filter(|bounds| !bounds.is_empty()).map(|bounds| format!("; bounds: {bounds}"));
    format!("{readings}{}; {times}; alerts fired: {}.", bounds.unwrap_or_default(), marks.len())
}

fn spelled(line: &Line) -> String {
    format!("{} {} {}", word(line.severity), if line.above { "above" } else { "below" }, line.spelled)
}

/// The smallest and the largest number that is shown, and the distance of the lines across.
fn scale(row: &Watched) -> (f64, f64, f64) {
    let lines = row.lines.iter().flat_map(|(_, lines)| lines).flat_map(|line| [line.bound, line.clear]);
    let readings = (row.readings > 0).then_some([row.least, row.most]).into_iter().flatten();
    let (mut least, mut most) = lines
        .chain(readings)
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
    if least > most {
        (least, most) = (0.0, 1.0);
    }
    // What lies far above zero is shown without it.
    if least >= 0.0 && (row.readings == 0 || least < most * 0.6) {
        least = 0.0;
    }
    if most - least <= most.abs() * 1e-9 {
        (least, most) = (least - most.abs().max(1.0) * 0.1, most + most.abs().max(1.0) * 0.1);
    }
    let step = nice((most - least) / ROWS, row.unit);
    let floor = (least / step).floor() * step;
    (floor, (most / step + 0.15).ceil() * step, step)
}

/// A round number of about that size.
fn nice(about: f64, unit: BaseUnit) -> f64 {
    let in_twos = matches!(unit, BaseUnit::Bytes | BaseUnit::BytesPerSecond) && about >= 1024.0;
    let base = if in_twos { 1024_f64.powf(about.log(1024.0).floor()) } else { 1.0 };
    let about = about / base;
    let ten = 10_f64.powf(about.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| about <= round * ten * 1.0001).unwrap_or(10.0);
    round * ten * base
}

fn grid(out: &mut String, frame: &Frame, unit: BaseUnit, step: f64) {
    out.push_str("<g class=\"grid\">\n");
    let mut value = frame.least;
    while value <= frame.most + step * 1e-6 {
        let y = frame.y(value);
        // Of sums of steps, zero is not always zero.
        let shown = if value.abs() < step * 1e-6 { 0.0 } else { value };
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            html(&unit.format(shown))
        );
        value += step;
    }
    let length = frame.period.to.since(frame.period.from);
    let pace = PACES.iter().map(|minutes| Span::minutes(*minutes));
    let pace = pace.clone().find(|pace| length.as_millis() / pace.as_millis() <= MOST_TIMES);
    let pace = pace.unwrap_or(Span::millis(length.as_millis() / MOST_TIMES));
    let step = pace.as_millis().max(1000);
    let first =
        frame.period.from.millis().div_euclid(step) + i64::from(frame.period.from.millis().rem_euclid(step) > 0);
    for number in first..=frame.period.to.millis().div_euclid(step) {
        let at = Instant::from_millis(number * step);
        let stamp = at.timestamp();
        let text = if number * step % 86_400_000 == 0 || step >= 86_400_000 {
            stamp.strftime("%-d %b").to_string()
        } else {
            stamp.strftime("%H:%M").to_string()
        };
        let x = frame.x(at);
        let _ = writeln!(
            out,
            "<path class=\"tick\" d=\"M{x:.1} {:.1}v5\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
        );
    }
    out.push_str("</g>\n");
}

/// When something was the matter.
fn bands(out: &mut String, frame: &Frame, row: &Watched) {
    for (spell, until) in row.spans(frame.period.to) {
        let (class, text) = match spell.state {
            State::Breached(severity) => (self::class(word(severity)), format!("breached ({})", word(severity))),
            State::Pending(_) => ("pending", "pending".to_owned()),
            State::NoData(reason) => ("nodata", format!("no data ({reason})")),
            State::Within | State::Unjudged | State::Gone => continue,
        };
        let (x, end) = (frame.x(spell.since), frame.x(until));
        let _ = writeln!(
            out,
            "<rect class=\"band {class}\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (end - x).max(1.0),
            HEIGHT - TOP - BOTTOM,
            html(&format!(
                "{text} from {} to {}, {}",
                time(spell.since),
                time(until),
                lasted(until.since(spell.since))
            ))
        );
    }
}

/// The readings: a line, and behind it all that a column has.
fn curve(out: &mut String, frame: &Frame, columns: &[Column]) {
    let runs = columns.chunk_by(|_, next| !next.apart);
    for run in runs {
        if run.iter().any(|column| column.least < column.most) {
            let above = run.iter().map(|column| (middle(column), column.most));
            let below = run.iter().rev().map(|column| (middle(column), column.least));
            let points: Vec<String> =
                above.chain(below).map(|(at, value)| format!("{:.1},{:.1}", frame.x(at), frame.y(value))).collect();
            let _ = writeln!(out, "<polygon class=\"range\" points=\"{}\"/>", points.join(" "));
        }
        let points: Vec<String> = run
            .iter()
            .map(|column| {
                format!("{:.1},{:.1}", frame.x(middle(column)), frame.y(f64::midpoint(column.least, column.most)))
            })
            .collect();
        match points.as_slice() {
            [alone] => {
                let (x, y) = alone.split_once(',').unwrap_or_default();
                let _ = writeln!(out, "<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"2\"/>");
            }
            points => {
                let _ = writeln!(out, "<polyline class=\"curve\" points=\"{}\"/>", points.join(" "));
            }
        }
    }
}

fn middle(column: &Column) -> Instant {
    column.first + Span::millis(column.last.since(column.first).as_millis() / 2)
}

/// Bounds as they were at each time: a profile may move them.
fn bounds(out: &mut String, frame: &Frame, row: &Watched) {
    let ends = row.lines.iter().skip(1).map(|(since, _)| *since).chain([frame.period.to]);
    let mut labelled = Vec::new();
    for ((since, lines), until) in row.lines.iter().zip(ends) {
        let (x, end) = (frame.x(*since), frame.x(until));
        for line in lines {
            let (bound, clear) = (frame.y(line.bound), frame.y(line.clear));
            let class = class(word(line.severity));
            let _ = write!(
                out,
                "<g class=\"bound {class}\"><title>{}</title><path d=\"M{x:.1} {bound:.1}H{end:.1}\"/>",
                html(&spelled(line))
            );
            if (clear - bound).abs() >= 1.0 {
                let _ = write!(out, "<path class=\"clear\" d=\"M{x:.1} {clear:.1}H{end:.1}\"/>");
            }
            // One label for a bound that stays the same.
            let label = (line.severity, line.above, line.spelled.clone());
            if !labelled.contains(&label) && end - x > 60.0 {
                let y = if line.above { bound - 5.0 } else { bound + 14.0 };
                let sign = if line.above { "&gt;" } else { "&lt;" };
                let _ = write!(out, "<text x=\"{:.1}\" y=\"{y:.1}\">{sign} {}</text>", x + 6.0, html(&line.spelled));
                labelled.push(label);
            }
            out.push_str("</g>\n");
        }
    }
}

/// Lanes that show when profiles were active, one below the other.
pub fn lanes(all: &[(String, Vec<(Instant, Instant)>)], title: &str, id: &str, period: Period) -> String {
    let height = 26 * all.len() + 4;
    let frame = Frame { period, least: 0.0, most: 1.0 };
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-t\">\n<title id=\"{id}-t\">{}</title>\n",
        html(title)
    );
    for (number, (name, spans)) in all.iter().enumerate() {
        let top = 26 * number + 4;
        let _ = writeln!(
            out,
            "<rect class=\"lane\" x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"20\" rx=\"3\"/>",
            WIDTH - LEFT - RIGHT
        );
        for (since, until) in spans {
            let (x, end) = (frame.x(*since), frame.x(*until));
            let _ = writeln!(
                out,
                "<rect class=\"active\" x=\"{x:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"20\" rx=\"3\"><title>{}</title></rect>",
                (end - x).max(1.5),
                html(&format!("{name} from {} to {}", time(*since), time(*until)))
            );
        }
        let _ =
            writeln!(out, "<text class=\"lane-name\" x=\"{:.1}\" y=\"{}\">{}</text>", LEFT + 8.0, top + 14, html(name));
    }
    out.push_str("</svg>\n");
    out
}
