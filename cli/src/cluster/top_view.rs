//! The live table of `pinion top`: the whole terminal, given back on every way out.

use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_spec::strategy::TradingState;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Row, Table};

use super::connect::Cluster;
use super::row::{COLUMNS, StrategyRow};
use super::top::seen;
use crate::error::CliError;

/// Between two looks at the keyboard.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// All that is drawn.
struct Picture {
    namespace: String,
    server: String,
    rows: Vec<StrategyRow>,
    /// Why the last look failed; the rows are then those of the look before.
    problem: Option<String>,
}

/// Takes the terminal and shows the strategies until a key ends it.
pub(super) async fn run(cluster: Cluster, first: Vec<StrategyRow>, every: Duration) -> Result<(), CliError> {
    let mut terminal = ratatui::try_init().map_err(|error| {
        CliError::Usage(format!("cannot take the terminal ({error}); `pinion top | cat` writes lines"))
    })?;
    let (namespace, server) = (cluster.namespace.clone(), cluster.server.clone());
    let mut picture = Picture { namespace, server, rows: first, problem: None };
    let mut looked_ns = mono_ns();
    let mut look = std::pin::pin!(None);
    let outcome = loop {
        if let Err(error) = terminal.draw(|frame| picture.draw(frame)) {
            break Err(CliError::Internal(format!("cannot draw: {error}")));
        }
        if ended_by_key() {
            break Ok(());
        }
        if look.is_none() && Duration::from_nanos(mono_ns() - looked_ns) >= every {
            look.set(Some(seen(&cluster)));
        }
        let Some(looking) = look.as_mut().as_pin_mut() else {
            tokio::time::sleep(KEYS_EVERY).await;
            continue;
        };
        // A cluster that is slow to answer does not make the keyboard slow.
        if let Ok(answer) = tokio::time::timeout(KEYS_EVERY, looking).await {
            look.set(None);
            looked_ns = mono_ns();
            match answer {
                Ok(rows) => (picture.rows, picture.problem) = (rows, None),
                Err(error) => picture.problem = Some(error.to_string()),
            }
        }
    };
    ratatui::restore();
    outcome
}

/// Whether a key that ends it has been pressed. In raw mode Ctrl-C is a key, not a signal.
fn ended_by_key() -> bool {
    while event::poll(Duration::ZERO).unwrap_or(false) {
        if let Ok(Event::Key(key)) = event::read()
            && ends(key)
        {
            return true;
        }
    }
    false
}

fn ends(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || key.code == KeyCode::Char('q') || key.code == KeyCode::Esc)
}

impl Picture {
    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, table, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
        frame.render_widget(self.head(), head);
        self.draw_table(frame, table);
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Line<'_> {
        let ready = self.rows.iter().filter(|row| row.ready == "True").count();
        let halted = self.rows.iter().filter(|row| row.trading_state == TradingState::Halted).count();
        Line::from(vec![
            Span::from(" pinion top ").bold().cyan(),
            Span::from(format!(" {}", self.namespace)).bold(),
            Span::from(format!(" on {}   ", self.server)).dim(),
            Span::from(format!("{ready} of {} ready", self.rows.len())).bold(),
            Span::from(if halted > 0 { format!("   {halted} halted") } else { String::new() }).yellow().bold(),
        ])
    }

    fn draw_table(&self, frame: &mut Frame<'_>, area: Rect) {
        let cells: Vec<[String; COLUMNS.len()]> = self.rows.iter().map(StrategyRow::cells).collect();
        let width = |column: usize| {
            let widest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            Constraint::Length(u16::try_from(widest.max(COLUMNS[column].0.len())).unwrap_or(u16::MAX))
        };
        let widths: Vec<Constraint> = (0..COLUMNS.len()).map(width).collect();
        let header = Row::new(COLUMNS.map(|(head, number)| cell(head.to_owned(), number))).bold();
        let rows = cells.into_iter().zip(&self.rows).map(|(cells, row)| {
            let cells = cells.into_iter().zip(COLUMNS).map(|(text, (_, number))| cell(text, number));
            Row::new(cells).style(style(row))
        });
        let block = Block::bordered().border_type(BorderType::Rounded).border_style(Style::new().dim());
        let table = Table::new(rows, widths).column_spacing(2).header(header).block(block.title(" strategies ".bold()));
        frame.render_widget(table, area);
    }

    fn foot(&self) -> Line<'_> {
        match &self.problem {
            Some(problem) => Line::from(format!(" {problem}")).yellow(),
            None => Line::from(vec![Span::from(" q").bold(), Span::from(": end")]),
        }
    }
}

fn cell(text: String, number: bool) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(if number { line.right_aligned() } else { line })
}

/// What needs a person is seen first.
fn style(row: &StrategyRow) -> Style {
    match (row.ready.as_str(), row.trading_state) {
        ("False", _) => Style::new().red(),
        (_, TradingState::Halted | TradingState::Reducing) => Style::new().yellow(),
        ("True", _) => Style::new(),
        _ => Style::new().dim(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::row::example;
    use super::*;

    fn drawn(width: u16, height: u16, problem: Option<&str>) -> String {
        let mut halted = example("momentum");
        halted.trading_state = TradingState::Halted;
        let picture = Picture {
            namespace: "desk-7".to_owned(),
            server: "https://10.0.0.1:6443".to_owned(),
            rows: vec![example("book-imbalance"), halted],
            problem: problem.map(str::to_owned),
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| picture.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn what_matters_fits_a_terminal_of_100_by_24_and_what_went_wrong_is_said() {
        let text = drawn(100, 24, None);
        for wanted in ["desk-7", "2 of 2 ready", "1 halted", "book-imbalance", "41us", "0 s", "HALTED", "q: end"] {
            assert!(text.contains(wanted), "{wanted} is missing from\n{text}");
        }
        assert!(drawn(100, 24, Some("cannot reach the cluster")).contains("cannot reach the cluster"));
    }

    #[test]
    fn a_terminal_of_any_size_is_drawn_without_a_panic() {
        for (width, height) in [(1, 1), (10, 3), (79, 23), (200, 60)] {
            drawn(width, height, None);
        }
    }
}
