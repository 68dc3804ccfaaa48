//! The live view: the whole terminal, redrawn four times a second, given back on every way out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;

use pinion_runtime::metrics::STAGES;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, LineGauge, Paragraph, Row, Sparkline, Table};

use super::live::{EventRate, Live, lines};
use super::log::Kept;
use crate::paper::StrategyOutcome;
use crate::summary::{StrategySummary, Summary};
use crate::summary_text::stage_means;
use crate::time::{count, duration};

/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(250);
/// Rates that the curve remembers: two minutes.
const CURVE: usize = 480;

/// Takes the terminal and shows the demo until `done`; q or Ctrl-C sends to `stop`. Where the terminal cannot be had: plain lines.
pub(super) fn run(live: &Live, log: &Kept, stop: &Sender<()>, done: &Receiver<()>) {
    // Also makes a panic anywhere in the process give the terminal back.
    let Ok(mut terminal) = ratatui::try_init() else { return lines(live, &mut std::io::stdout(), done) };
    let mut picture = Picture::new(live);
    let mut stopping = false;
    while let Err(TryRecvError::Empty) = done.try_recv() {
        picture.look(live, log, stopping);
        if terminal.draw(|frame| picture.draw(frame)).is_err() {
            break;
        }
        match event::poll(REDRAW).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) if asks_to_stop(key) => {
                // Asked twice: the user does not want to wait for the drain.
                if stopping {
                    ratatui::restore();
                    std::process::exit(130);
                }
                stopping = true;
                // Fails only when the publisher has ended, and then the demo is about to end too.
                let _ = stop.send(());
            }
            Ok(_) => {}
            // No keys can be had here; signals still can.
            Err(_) => drop(done.recv_timeout(REDRAW).map(|()| stopping = true)),
        }
    }
    ratatui::restore();
}

/// In raw mode Ctrl-C is a key, not a signal.
fn asks_to_stop(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || key.code == KeyCode::Char('q') || key.code == KeyCode::Esc)
}

/// All that is drawn.
struct Picture {
    summary: Summary,
    planned_seconds: u64,
    target_rate: u32,
    embedded: bool,
    rate: EventRate,
    curve: VecDeque<u64>,
    warning: Option<String>,
    phase: &'static str,
}

impl Picture {
    fn new(live: &Live) -> Self {
        let mut rate = EventRate::default();
        rate.sample(0.0, 0);
        Self {
            summary: Summary::default(),
            planned_seconds: live.seconds,
            target_rate: live.rate,
            embedded: live.embedded,
            rate,
            curve: VecDeque::with_capacity(CURVE),
            warning: None,
            phase: "",
        }
    }

    fn look(&mut self, live: &Live, log: &Kept, stopping: bool) {
        self.summary = live.summary();
        let rate = self.rate.sample(self.summary.seconds, self.summary.events_total());
        if self.curve.len() == CURVE {
            self.curve.pop_front();
        }
        self.curve.push_back(rate);
        self.warning = log.last();
        self.phase = if stopping || live.finished().is_some() { "draining" } else { "running" };
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let latency_height = u16::try_from(STAGES.len()).unwrap_or(8) + 3;
        let [head, gauge, middle, curve, latency, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(9),
            Constraint::Fill(1),
            Constraint::Length(latency_height),
            Constraint::Length(2),
        ])
        .areas(frame.area());
        self.draw_head(frame, head, gauge);
        let [events, strategies] = Layout::horizontal([Constraint::Length(32), Constraint::Fill(1)]).areas(middle);
        self.draw_events(frame, events);
        self.draw_strategies(frame, strategies);
        // What the rest leaves; on a small terminal nothing.
        if curve.height >= 3 {
            self.draw_curve(frame, curve);
        }
        self.draw_latency(frame, latency);
        self.draw_foot(frame, foot);
    }

    fn draw_head(&self, frame: &mut Frame<'_>, head: Rect, gauge: Rect) {
        let rate = self.curve.back().copied().unwrap_or(0);
        let line = Line::from(vec![
            Span::from(" pinion demo ").bold().cyan(),
            Span::from(" two strategies, one worker   ").dim(),
            Span::from(format!("{} events/s", count(rate))).bold(),
            Span::from(format!(" from {} records/s", count(u64::from(self.target_rate)))).dim(),
        ]);
        frame.render_widget(line, head);
        #[expect(clippy::cast_precision_loss, reason = "a bar's length")]
        let planned = self.planned_seconds as f64;
        let label = format!(" {} {:>4.0} s of {planned:.0} s ", self.phase, self.summary.seconds.min(planned));
        let bar = LineGauge::default()
            .ratio((self.summary.seconds / planned.max(1.0)).clamp(0.0, 1.0))
            .label(label)
            .filled_symbol("━")
            .unfilled_symbol("─")
            .filled_style(Style::new().cyan())
            .unfilled_style(Style::new().dim());
        frame.render_widget(bar, gauge);
    }

    fn draw_events(&self, frame: &mut Frame<'_>, area: Rect) {
        let summary = &self.summary;
        let kinds = summary.events.iter().filter(|(kind, n)| **n > 0 || **kind == "quote");
        let mut rows: Vec<Row<'_>> = kinds.map(|(kind, n)| number(kind, *n, Style::new())).collect();
        let (published, late) = (summary.published.unwrap_or(0), summary.late_sends.unwrap_or(0));
        rows.push(number("published", published, Style::new().dim()));
        rows.push(number("sent > 1 ms late", late, noticed(late)));
        rows.push(number("sequence gaps", summary.gaps, noticed(summary.gaps)));
        let errors = summary.decode_errors.values().sum();
        rows.push(number("decode errors", errors, noticed(errors)));
        let table = Table::new(rows, [Constraint::Fill(1), Constraint::Length(12)]).block(boxed(" events "));
        frame.render_widget(table, area);
    }

    fn draw_strategies(&self, frame: &mut Frame<'_>, area: Rect) {
        let strategies = &self.summary.strategies;
        let header = strategies.keys().map(|name| right(name.clone()).bold());
        let header = Row::new(std::iter::once(Cell::from("orders")).chain(header));
        let across = |label: String, style: Style, pick: &dyn Fn(&StrategySummary) -> u64| {
            let cells = strategies.values().map(|strategy| right(count(pick(strategy))));
            Row::new(std::iter::once(Cell::from(label)).chain(cells)).style(style)
        };
        let of = |counts: &BTreeMap<&'static str, u64>, label: &str| counts.get(label).copied().unwrap_or(0);
        let mut rows = Vec::new();
        rows.push(across("approved".to_owned(), Style::new().green(), &StrategySummary::approved));
        rows.push(across("filled on paper".to_owned(), Style::new().green(), &|strategy| {
            strategy.paper.as_ref().map_or(0, |paper| paper.told.fills)
        }));
        let on_paper = |label: &str, pick: &dyn Fn(&StrategyOutcome) -> String| {
            let cells =
                strategies.values().map(|strategy| right(strategy.paper.as_ref().map_or_else(String::new, pick)));
            Row::new(std::iter::once(Cell::from(label.to_owned())).chain(cells))
        };
        rows.push(on_paper("position", &|paper| {
            paper.positions.values().next().map_or_else(|| "0".to_owned(), |position| position.net.clone())
        }));
        rows.push(on_paper("profit and loss", &|paper| shortened(&paper.pnl)));
        let faults: u64 = self.summary.faults.values().sum();
        let faulty = if faults > 0 { Style::new().red().bold() } else { Style::new().dim() };
        rows.push(across("faults".to_owned(), faulty, &|strategy| strategy.faults.values().sum()));
        // Most frequent first: what does not fit is what matters least.
        let mut reasons: Vec<(&'static str, u64)> = self.summary.orders.denied.iter().map(|(r, n)| (*r, *n)).collect();
        reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        if reasons.is_empty() {
            rows.push(across("denied".to_owned(), Style::new().dim(), &|_| 0));
        }
        for (reason, _) in reasons {
            let label = format!("denied: {reason}");
            rows.push(across(label, Style::new().yellow(), &|strategy| of(&strategy.denied, reason)));
        }
        let widths = std::iter::once(Constraint::Fill(1)).chain(strategies.keys().map(|name| wide(name)));
        frame.render_widget(Table::new(rows, widths).header(header).block(boxed(" strategies ")), area);
    }

    fn draw_curve(&self, frame: &mut Frame<'_>, area: Rect) {
        let width = usize::from(area.width.saturating_sub(2));
        let newest = self.curve.iter().skip(self.curve.len().saturating_sub(width));
        let curve = Sparkline::default().data(newest.copied()).style(Style::new().cyan()).block(boxed(" events/s "));
        frame.render_widget(curve, area);
    }

    fn draw_latency(&self, frame: &mut Frame<'_>, area: Rect) {
        let heads = ["count", "p50", "p99", "p99.9", "max"].map(|head| right(head.to_owned()));
        let header =
            Row::new(std::iter::once(Cell::from("stage")).chain(heads).chain([Cell::from("from > to")])).bold();
        let rows = STAGES.iter().map(|stage| {
            let q = self.summary.latency_ns.get(stage).copied().unwrap_or_default();
            let numbers =
                [q.p50, q.p99, q.p999, q.max].map(|ns| right(if q.count > 0 { duration(ns) } else { "-".to_owned() }));
            let cells = std::iter::once(Cell::from(*stage)).chain([right(count(q.count))]).chain(numbers);
            let row = Row::new(cells.chain([Cell::from(stage_means(stage)).dim()]));
            if *stage == "decision" { row.bold().cyan() } else { row }
        });
        let widths = [10, 11, 8, 8, 8, 8].map(Constraint::Length).into_iter().chain([Constraint::Fill(1)]);
        frame.render_widget(Table::new(rows, widths).header(header).block(boxed(" latency ")), area);
    }

    fn draw_foot(&self, frame: &mut Frame<'_>, area: Rect) {
        let note = if self.embedded { "embedded broker: latencies show the mechanism, not a claim" } else { "" };
        let keys = Line::from(vec![Span::from(" q").bold(), Span::from(": drain, sum up   "), Span::from(note).dim()]);
        let warning = self.warning.as_deref().unwrap_or_default();
        frame.render_widget(Paragraph::new(vec![keys, Line::from(format!(" {warning}")).yellow()]), area);
    }
}

/// An amount with at most two digits behind the point, cut, not rounded.
fn shortened(amount: &str) -> String {
    let end = amount.find('.').map_or(amount.len(), |point| amount.len().min(point + 3));
    amount[..end].to_owned()
}

fn boxed(title: &str) -> Block<'_> {
    Block::bordered().border_type(BorderType::Rounded).border_style(Style::new().dim()).title(title.bold())
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// As wide as a name, or as a count of millions.
fn wide(name: &str) -> Constraint {
    Constraint::Length(u16::try_from(name.chars().count()).unwrap_or(u16::MAX).max(10))
}

fn number(label: &str, n: u64, style: Style) -> Row<'_> {
    Row::new([Cell::from(label), right(count(n))]).style(style)
}

/// What should be zero is seen when it is not.
fn noticed(n: u64) -> Style {
    if n > 0 { Style::new().yellow() } else { Style::new().dim() }
}

#[cfg(test)]
mod tests {
    use pinion_runtime::metrics::ORDER_LABELS;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::summary::Quantiles;

    fn picture() -> Picture {
        let mut summary = Summary { seconds: 5.0, published: Some(10_000), late_sends: Some(3), ..Summary::default() };
        summary.events.extend([("quote", 7_000), ("trade", 2_500), ("execution", 0)]);
        for (name, denied) in [("book-imbalance", 12), ("ema-cross", 0)] {
            let mut strategy = StrategySummary::default();
            strategy.orders.extend(ORDER_LABELS.iter().map(|label| (*label, 41)));
            strategy.denied.extend([("message_rate", denied)]);
            let paper = StrategyOutcome { pnl: "-12.3456".to_owned(), ..StrategyOutcome::default() };
            strategy.paper = Some(paper);
            summary.strategies.insert(name.to_owned(), strategy);
        }
        summary.orders.denied.insert("message_rate", 12);
        let quantiles = Quantiles { count: 82, p50: 21_000, p99: 1_250_000, p999: 1_300_000, max: 2_000_000 };
        summary.latency_ns.insert("decision", quantiles);
        Picture {
            summary,
            planned_seconds: 20,
            target_rate: 2_000,
            embedded: true,
            rate: EventRate::default(),
            curve: VecDeque::from([1_900, 2_000]),
            warning: Some("WARN broker gone".to_owned()),
            phase: "running",
        }
    }

    fn drawn(picture: &Picture, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| picture.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_that_matters_fits_a_terminal_of_80_by_24() {
        let text = drawn(&picture(), 80, 24);
        for wanted in [
            "2,000 events/s",
            "5 s of 20 s",
            "7,000",
            "sent > 1 ms late",
            "book-imbalance",
            "denied: message_rate",
            "filled on paper",
            "profit and loss",
            "-12.34 ",
            "21.0 us",
            "1.25 ms",
            "2.00 ms",
            "embedded broker: latencies show the mechanism, not a claim",
            "WARN broker gone",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing from\n{text}");
        }
        for stage in STAGES {
            assert!(text.contains(stage), "{stage} is missing from\n{text}");
        }
    }

    #[test]
    fn a_terminal_of_any_size_is_drawn_without_a_panic() {
        for (width, height) in [(1, 1), (10, 3), (40, 12), (79, 23), (200, 60)] {
            drawn(&picture(), width, height);
        }
    }

    #[test]
    fn q_escape_and_control_c_stop_and_nothing_else_does() {
        let key = |code, modifiers| asks_to_stop(KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE));
    }
}
