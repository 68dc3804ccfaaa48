//! Which venue is the one: each writes a claim to the topics of executions before it looks at anything, and the last claim counts.
//!
//! A claim is a record of which a runtime sees that it is about none of its orders. All have one key, so those of a topic lie in one
//! partition, in the order in which they came.

use std::borrow::Cow;

use pinion_spec::ids::ClientOrderId;
use serde::Deserialize;
use serde_json::json;

use super::listen::Member;

/// How a paper venue signs: this, and when it was started.
const REPORTER: &str = "paper-";
/// The key of claims, and the order that they name: none.
pub(super) const CLAIM: &str = "pinion-paper";

/// How a venue that is started now signs.
pub(super) fn reporter(started_ns: u64) -> String {
    format!("{REPORTER}{started_ns}")
}

/// The claim of a venue that trades for these.
pub(super) fn claim(reporter: &str, members: &[Member]) -> Vec<u8> {
    let strategies: Vec<String> = members.iter().map(|member| hex(member.hash)).collect();
    let claim = json!({
        "type": "cancelled", "client_order_id": CLAIM, "side": "buy", "reporter": reporter, "strategies": strategies,
    });
    claim.to_string().into_bytes()
}

fn hex(hash: u32) -> String {
    format!("{hash:08x}")
}

/// What a record of executions says of who wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A venue's claim of one of ours, with its signature.
    Claim(String),
    /// A report on an order of ours.
    Report {
        /// The signature, where it is a paper venue's.
        paper: Option<String>,
        order: ClientOrderId,
        sequence: u64,
    },
    /// Nothing of ours.
    Nothing,
}

#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow)]
    client_order_id: Cow<'a, str>,
    #[serde(default, borrow)]
    reporter: Option<Cow<'a, str>>,
    #[serde(default)]
    sequence: Option<u64>,
    #[serde(default, borrow)]
    strategies: Option<Vec<Cow<'a, str>>>,
}

/// Looks at a record of executions; `ours` tells a strategy of ours by its hash.
pub(super) fn said(value: &[u8], ours: impl Fn(u32) -> bool) -> Said {
    let Ok(Signed { client_order_id, reporter, sequence, strategies }) = serde_json::from_slice(value) else {
        return Said::Nothing;
    };
    let paper = reporter.filter(|reporter| is_paper(reporter)).map(Cow::into_owned);
    if client_order_id == CLAIM {
        let named = strategies.unwrap_or_default();
        let named = named.iter().filter_map(|hash| u32::from_str_radix(hash, 16).ok()).any(ours);
        return paper.filter(|_| named).map_or(Said::Nothing, Said::Claim);
    }
    match ClientOrderId::parse(client_order_id.as_bytes()) {
        Ok(order) if ours(order.strategy) => Said::Report { paper, order, sequence: sequence.unwrap_or(0) },
        _ => Said::Nothing,
    }
}

fn is_paper(reporter: &str) -> bool {
    reporter.strip_prefix(REPORTER).is_some_and(|started| started.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use pinion_runtime::decode::{Decoder, Outcome, Record, Skip};
    use pinion_spec::strategy::Encoding;

    use super::*;

    const HASH: u32 = 0xa1;

    fn member() -> Member {
        Member { name: "a".to_owned(), hash: HASH, orders: "o".to_owned(), executions: None }
    }

    fn ours(hash: u32) -> bool {
        hash == HASH
    }

    #[test]
    fn a_claim_is_a_venues_that_names_one_of_ours_and_a_runtime_steps_over_it() {
        let claim = claim(&reporter(7), &[member()]);
        assert_eq!(said(&claim, ours), Said::Claim("paper-7".to_owned()));
        assert_eq!(said(&claim, |hash| hash == HASH + 1), Said::Nothing, "another strategy's venue");
        let mut decoder = Decoder::new(Encoding::PinionExecution, "paper", &[]).unwrap();
        let outcome = decoder.decode(&Record { value: &claim, key: None, ts_recv: 1 }, &mut Vec::new());
        assert_eq!(outcome, Ok(Outcome { events: 0, skipped: Some((Skip::NotOurs, 1)) }));
    }

    #[test]
    fn a_report_is_told_by_its_order_and_its_writer() {
        let order = ClientOrderId { strategy: HASH, topic: 1, partition: 0, offset: 2, n: 0 };
        let report = |id: &str, more: &str| said(format!(r#"{{"client_order_id":"{id}"{more}}}"#).as_bytes(), ours);
        let (id, paper) = (order.to_string(), Some("paper-5".to_owned()));
        assert_eq!(report(&id, r#","reporter":"paper-5","sequence":9"#), Said::Report { paper, order, sequence: 9 });
        for stranger in ["", r#","reporter":"fix-gateway-2""#, r#","reporter":"paper-x""#, r#","reporter":null"#] {
            assert_eq!(report(&id, stranger), Said::Report { paper: None, order, sequence: 0 });
        }
        let theirs = ClientOrderId { strategy: HASH + 1, ..order }.to_string();
        assert_eq!(report(&theirs, r#","reporter":"paper-18446744073709551615""#), Said::Nothing);
        assert_eq!((said(b"{}", ours), said(b"nonsense", ours)), (Said::Nothing, Said::Nothing));
    }
}
