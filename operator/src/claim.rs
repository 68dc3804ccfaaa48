//! Which topic prefixes a tenant is granted: two tenants never hold topics of one another, whatever their resources say.
//!
//! A prefix that has been granted stays its tenant's while the tenant names it: a mistake in one Tenant takes nothing away from
//! another. Of two that ask for the same anew, the one that was made first has it.

use serde_json::Value as Json;

/// What a tenant asks for, and what it has been granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub tenant: String,
    /// When it was made, RFC 3339 in UTC, as Kubernetes writes it: compares as text.
    pub made: String,
    /// Prefixes that it asks for.
    pub wanted: Vec<String>,
    /// Prefixes that its status says it has.
    pub granted: Vec<String>,
}

/// A prefix that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "spec.kafka.topicPrefixes: {prefix} is not granted, tenant {holder} holds {held}: one begins with the other; name another prefix, \
     or readTopics where it is only to be read"
)]
pub struct Clash {
    /// The prefix.
    pub prefix: String,
    /// Who holds topics under it.
    pub holder: String,
    /// By which prefix.
    pub held: String,
}

impl Claim {
    /// The claim of a Tenant as the watch has it.
    #[must_use]
    pub fn of(tenant: &Json) -> Self {
        let text = |path: &str| tenant.pointer(path).and_then(Json::as_str).unwrap_or_default().to_owned();
        let list = |path: &str| -> Vec<String> {
            let items = tenant.pointer(path).and_then(Json::as_array).into_iter().flatten();
            items.filter_map(Json::as_str).map(str::to_owned).collect()
        };
        Self {
            tenant: text("/metadata/name"),
            made: text("/metadata/creationTimestamp"),
            wanted: list("/spec/kafka/topicPrefixes"),
            granted: list("/status/topicPrefixes"),
        }
    }

    /// Its prefixes, each with whether it has been granted and is still asked for.
    fn prefixes(&self) -> impl Iterator<Item = (&str, bool)> {
        self.wanted.iter().map(|prefix| (prefix.as_str(), self.granted.contains(prefix)))
    }

    /// Who comes first has it.
    fn seniority(&self, granted: bool) -> (bool, &str, &str) {
        (!granted, &self.made, &self.tenant)
    }
}

/// Those of a tenant's prefixes that it has, and why it has not the others.
#[must_use]
pub fn grant<'a>(mine: &Claim, others: impl IntoIterator<Item = &'a Claim> + Clone) -> (Vec<String>, Vec<Clash>) {
    let (mut granted, mut clashes) = (Vec::new(), Vec::new());
    for (prefix, has) in mine.prefixes() {
        let ahead = others.clone().into_iter().filter(|other| other.tenant != mine.tenant).find_map(|other| {
            let held = other.prefixes().find(|(held, their)| {
                (held.starts_with(prefix) || prefix.starts_with(held)) && other.seniority(*their) < mine.seniority(has)
            });
            Some(Clash { prefix: prefix.to_owned(), holder: other.tenant.clone(), held: held?.0.to_owned() })
        });
        match ahead {
            None => granted.push(prefix.to_owned()),
            Some(clash) => clashes.push(clash),
        }
    }
    (granted, clashes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(tenant: &str, made: u32, wanted: &[&str], granted: &[&str]) -> Claim {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Claim {
            tenant: tenant.into(),
            made: format!("2026-01-{made:02}T00:00:00Z"),
            wanted: owned(wanted),
            granted: owned(granted),
        }
    }

    fn granted(mine: &Claim, others: &[Claim]) -> Vec<String> {
        grant(mine, others).0
    }

    #[test]
    fn prefixes_that_two_tenants_could_both_claim_clash_whichever_is_longer() {
        let fx = claim("fx", 1, &["desk-7.fx."], &[]);
        for (prefix, clashes) in
            [("desk-7.", true), ("desk-7.fx.g10.", true), ("desk-7.fx.", true), ("desk-70.", false)]
        {
            let later = claim("later", 2, &["x.", prefix], &[]);
            let (granted, found) = grant(&later, &[later.clone(), fx.clone()]);
            assert_eq!(granted.len(), if clashes { 1 } else { 2 }, "{prefix}");
            assert_eq!(
                found.iter().map(|clash| clash.prefix.as_str()).collect::<Vec<_>>(),
                vec![prefix; usize::from(clashes)]
            );
        }
        assert_eq!(granted(&fx, &[claim("later", 2, &["desk-7."], &[])]), ["desk-7.fx."]);
    }

    #[test]
    fn what_has_been_granted_is_not_lost_to_a_tenant_that_is_older() {
        let (older, holder) = (claim("older", 1, &["a.", "b."], &["a."]), claim("holder", 2, &["b."], &["b."]));
        assert_eq!(granted(&older, std::slice::from_ref(&holder)), ["a."]);
        assert_eq!(granted(&holder, &[older]), ["b."]);
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_free() {
        let gone = claim("gone", 1, &["c."], &["b."]);
        assert_eq!(granted(&claim("next", 2, &["b."], &[]), &[gone]), ["b."]);
    }

    proptest! {
        #[test]
        fn of_two_tenants_never_both_are_granted_the_same_topics(
            wanted in prop::collection::vec(prop::collection::vec("[ab]{1,3}", 1..4), 2..5),
            has in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 5), made in prop::collection::vec(1_u32..4, 5),
        ) {
            let mut claims: Vec<Claim> = wanted.iter().enumerate().map(|(i, wanted)| Claim {
                tenant: format!("t{i}"),
                made: format!("2026-01-0{}T00:00:00Z", made[i]),
                granted: wanted.iter().zip(&has[i]).filter(|(_, has)| **has).map(|(prefix, _)| prefix.clone()).collect(),
                wanted: wanted.clone(),
            }).collect();
            // Each in turn, until nothing changes any more.
            for _ in 0..5 {
                for i in 0..claims.len() {
                    claims[i].granted = granted(&claims[i], &claims);
                }
            }
            let settled: Vec<Vec<String>> = claims.iter().map(|claim| granted(claim, &claims)).collect();
            for (i, a) in settled.iter().enumerate() {
                prop_assert_eq!(a, &claims[i].granted);
                for (a, b) in a.iter().flat_map(|a| settled[i + 1..].iter().flatten().map(move |b| (a, b))) {
                    prop_assert!(!a.starts_with(b.as_str()) && !b.starts_with(a.as_str()), "{} {}", a, b);
                }
            }
        }
    }
}
