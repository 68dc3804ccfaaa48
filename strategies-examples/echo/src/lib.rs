//! Says in its log what it is called with, and what the host answers: the contract, to look at.
//!
//! A line is the callback's name and its fields in the contract's order, enums by their number. Timers choose an import: timer 1 submits,
//! 2 modifies, and so on, see [`Echo::on_timer`]. It keeps what it saves: the number of its timers.

use pinion_strategy::{
    Bar, BarSeries, Book, BookDelta, BookSide, Callbacks, Fill, Gap, Head, Host, Instrument, LogLevel, NewOrder,
    OrderUpdate, Params, Position, Price, Quote, Saved, Side, Size, Status, Strategy, TimeInForce, Trade, TradingState,
};

/// The strategy's state.
#[derive(Debug)]
pub struct Echo {
    first: String,
    bars: Vec<BarSeries>,
    timers: u32,
}

impl Strategy for Echo {
    const WANTS: Callbacks = Callbacks::QUOTE
        .and(Callbacks::TRADE)
        .and(Callbacks::BOOK_DELTA)
        .and(Callbacks::BOOK)
        .and(Callbacks::GAP)
        .and(Callbacks::TIMER)
        .and(Callbacks::ORDER)
        .and(Callbacks::FILL)
        .and(Callbacks::TRADING_STATE)
        .and(Callbacks::STATUS)
        .and(Callbacks::POSITION)
        .and(Callbacks::STATE);

    fn new(params: &Params, instruments: &[Instrument]) -> Result<Self, String> {
        if let Some(why) = params.get("refuse") {
            return Err(why.to_owned());
        }
        let bars = instruments.iter().flat_map(|instrument| {
            let time = BarSeries::time(instrument.id, 1_000_000_000).grace(1_000_000);
            [time, BarSeries::trades(instrument.id, 3), BarSeries::volume(instrument.id, Size(5))]
        });
        let first = format!("init {} {}", params.or("fast", 0_u32)?, instruments.len());
        Ok(Self { first, bars: bars.collect(), timers: 0 })
    }

    fn bars(&self) -> Vec<BarSeries> {
        self.bars.clone()
    }

    fn on_start(&mut self, host: &mut impl Host) {
        say(host, &self.first);
        say(host, "start");
    }

    fn on_quote(&mut self, host: &mut impl Host, q: &Quote) {
        let body = [q.bid_price.0, q.bid_size.0, q.ask_price.0, q.ask_size.0, q.bid_count.into(), q.ask_count.into()];
        say(host, &format!("quote {}{}", head(&q.head), list(&body)));
    }

    fn on_trade(&mut self, host: &mut impl Host, t: &Trade) {
        let line = format!("trade {} {} {} {} {}", head(&t.head), t.price.0, t.size.0, t.trade_id, t.aggressor as u8);
        say(host, &line);
    }

    fn on_book_delta(&mut self, host: &mut impl Host, d: &BookDelta) {
        let side = d.side.map_or(0, |side| side as u8 + 1);
        let line =
            format!("book-delta {} {} {} {} {} {side}", head(&d.head), d.price.0, d.size.0, d.count, d.action as u8);
        say(host, &line);
    }

    fn on_book(&mut self, host: &mut impl Host, b: &Book) {
        let levels = [b.bid_levels.into(), b.ask_levels.into()];
        let touch = [b.bid_price.0, b.bid_size.0, b.ask_price.0, b.ask_size.0];
        say(host, &format!("book {}{}{}", head(&b.head), list(&touch), list(&levels)));
    }

    fn on_gap(&mut self, host: &mut impl Host, g: &Gap) {
        let ids = format!("gap {} {} {} {}", g.instrument_id, g.publisher_id, g.ts_event, g.ts_recv);
        say(host, &format!("{ids} {} {}", g.expected, g.received));
    }

    fn on_recovered(&mut self, host: &mut impl Host, instrument_id: u64, sequence: u64) {
        say(host, &format!("recovered {instrument_id} {sequence}"));
    }

    fn on_status(&mut self, host: &mut impl Host, s: &Status) {
        say(host, &format!("status {} {}", head(&s.head), s.state as u8));
    }

    fn on_bar(&mut self, host: &mut impl Host, b: &Bar) {
        let ids = format!("bar {} {} {} {} {}", b.instrument_id, b.publisher_id, b.series, b.trades, b.late);
        let prices = [b.open.0, b.high.0, b.low.0, b.close.0, b.volume.0, b.buy_volume.0];
        say(host, &format!("{ids} {} {} {}{}", b.ts_open, b.ts_close, b.ts_recv, list(&prices)));
    }

    fn on_timer(&mut self, host: &mut impl Host, timer_id: u64, at: u64) {
        self.timers += 1;
        let limit = NewOrder::limit(at, Side::Sell, Price(5), Size(6)).time_in_force(TimeInForce::PostOnly).tag(77);
        match timer_id {
            1 => {
                let ids = [host.submit(&limit), host.submit(&NewOrder::market(at, Side::Buy, Size(9)))];
                say(host, &format!("submit {} {}", ids[0], ids[1]));
            }
            2 => host.modify(at, Price(-2), Size(3)),
            3 => host.cancel(at),
            4 => host.cancel_all(),
            5 => host.set_timer(8, at),
            6 => {
                let now = host.now();
                say(host, &format!("now {now}"));
            }
            7 => {
                let line = host.instrument(at).map_or("instrument none".to_owned(), |i| {
                    let ids = format!("instrument {} {} {} {}", i.id, i.publisher_id, i.publisher, i.symbol);
                    format!("{ids} {} {} {}", i.tick.0, i.lot.0, i.size_exponent)
                });
                say(host, &line);
            }
            8 => {
                let line = format!("position{}", position(&host.position(at)));
                say(host, &line);
            }
            9 => {
                let level = host.book_level(at, BookSide::Ask, 1);
                let line =
                    level.map_or("level none".to_owned(), |l| format!("level {} {} {}", l.price.0, l.size.0, l.count));
                say(host, &line);
            }
            10 => host.metric_set("edge", 2.5),
            11 => {
                for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
                    host.log(level, "grüezi");
                }
            }
            _ => say(host, &format!("timer {timer_id} {at}")),
        }
    }

    fn on_order(&mut self, host: &mut impl Host, u: &OrderUpdate) {
        let ids = format!("order {} {} {} {} {}", u.order_id, u.tag, u.instrument_id, u.ts_event, u.ts_recv);
        let rest = list(&[u.price.0, u.leaves.0, u.filled.0]);
        say(host, &format!("{ids} {} {}{rest}", u.status as u8, u.reason as u8));
    }

    fn on_fill(&mut self, host: &mut impl Host, f: &Fill) {
        let ids = format!("fill {} {} {} {} {}", f.order_id, f.tag, f.instrument_id, f.ts_event, f.ts_recv);
        let rest = list(&[f.price.0, f.size.0, f.leaves.0, f.fee]);
        say(host, &format!("{ids} {}{rest} {}", f.side as u8, f.liquidity as u8));
    }

    fn on_position(&mut self, host: &mut impl Host, instrument_id: u64, of: &Position) {
        say(host, &format!("on-position {instrument_id}{}", position(of)));
    }

    fn on_trading_state(&mut self, host: &mut impl Host, state: TradingState) {
        say(host, &format!("trading-state {}", state as u8));
    }

    fn on_save(&self) -> Saved {
        Saved { version: 3, data: self.timers.to_le_bytes().to_vec() }
    }

    fn on_load(&mut self, saved: Saved) -> Result<(), String> {
        let data = <[u8; 4]>::try_from(saved.data.as_slice());
        match (saved.version, data) {
            (3, Ok(timers)) => self.timers = u32::from_le_bytes(timers),
            (version, _) => return Err(format!("version {version} of {} bytes", saved.data.len())),
        }
        self.first = format!("loaded {}", self.timers);
        Ok(())
    }

    fn on_stop(&mut self, host: &mut impl Host) {
        say(host, "stop");
    }
}

fn say(host: &mut impl Host, line: &str) {
    host.log(LogLevel::Info, line);
}

fn head(h: &Head) -> String {
    format!("{} {} {} {} {} {}", h.instrument_id, h.publisher_id, h.flags, h.ts_event, h.ts_recv, h.sequence)
}

/// Each number behind a space; what is not defined as `-`.
fn list(numbers: &[i64]) -> String {
    let show = |number: &i64| if *number == Price::UNDEFINED.0 { " -".to_owned() } else { format!(" {number}") };
    numbers.iter().map(show).collect()
}

fn position(p: &Position) -> String {
    let known = |amount: Option<i64>| amount.unwrap_or(Price::UNDEFINED.0);
    let money = [p.average_price.0, known(p.realized), known(p.unrealized), known(p.fees)];
    list(&[p.net.0, p.working_buy.0, p.working_sell.0]) + &list(&money)
}

pinion_strategy::export!(Echo);

#[cfg(test)]
mod tests {
    use pinion_strategy::testing::Recorder;

    use super::*;

    #[test]
    fn it_says_what_it_is_called_with_and_what_the_host_answers() {
        let (mut host, mut echo) = (Recorder::default(), Echo::new(&Params::default(), &[]).unwrap());
        echo.on_start(&mut host);
        echo.on_timer(&mut host, 8, 7);
        assert_eq!(host.logs, ["init 0 0", "start", "position 0 0 0 - 0 0 0"]);
    }
}
