//! Where a registry sends us, and where we go.

use super::certificates::authority;
use super::hostile::{Asked, Hostile, Wire, answer};
use super::{MODULE, Puller, honest, is_manifest, reference};
use crate::registry::RegistryError;
use crate::sandbox::artefact::Digest;

/// Honest but for the module, which it sends us elsewhere for.
fn sends_to(location: &str) -> impl Fn(&Asked, &mut dyn Wire) + Send + Sync + use<> {
    let location = location.to_owned();
    move |asked, to| match is_manifest(asked) {
        true => honest(asked, to),
        false => answer(to, "307 Temporary Redirect", &[("location", &location)], b""),
    }
}

#[test]
fn a_store_that_the_registry_sends_us_to_is_told_neither_password_nor_token() {
    let store = Hostile::start(|_, to| answer(to, "200 OK", &[], MODULE));
    let to_store = sends_to(&format!("http://{}/store/abc?signature=s3cret", store.host()));
    let registry = Hostile::start(move |asked, to| match &asked.authorization {
        Some(_) => to_store(asked, to),
        None => answer(to, "401 Unauthorized", &[("www-authenticate", "Basic realm=\"x\"")], b""),
    });
    let mut puller = Puller::new(&[&registry, &store]);
    puller.log_in(&registry.host(), "user:hunter2");
    puller.pull(&reference(&registry.host())).unwrap();
    let [asked] = &store.asked()[..] else { panic!("{:?}", store.asked()) };
    assert_eq!((asked.path.as_str(), &asked.authorization), ("/store/abc?signature=s3cret", &None));
    assert!(registry.asked().last().unwrap().authorization.is_some(), "the registry itself was told");
}

#[test]
fn another_path_of_the_registry_itself_is_gone_to_with_what_it_asks_for() {
    let registry = Hostile::start(|asked, to| match (&asked.authorization, asked.path.as_str()) {
        (None, _) => answer(to, "401 Unauthorized", &[("www-authenticate", "Basic realm=\"x\"")], b""),
        (_, "/elsewhere?a=b") => answer(to, "200 OK", &[], MODULE),
        _ => sends_to("/elsewhere?a=b")(asked, to),
    });
    let mut puller = Puller::new(&[&registry]);
    puller.log_in(&registry.host(), "user:hunter2");
    puller.pull(&reference(&registry.host())).unwrap();
}

#[test]
fn nothing_but_http_is_followed_and_nobody_who_was_not_named_is_asked_without_tls() {
    let stranger = Hostile::start(|_, to| answer(to, "200 OK", &[], MODULE));
    // By another name than this machine's own, so that it is a stranger's.
    let by_name = format!("http://registry.invalid:{}/x?signature=s3cret", stranger.port);
    for location in [
        "file:///etc/passwd?signature=s3cret",
        "ftp://127.0.0.1/x?signature=s3cret",
        "gopher://127.0.0.1/x?signature=s3cret",
        "http://169.254.169.254/latest/meta-data?signature=s3cret",
        "http://10.0.0.1/x?signature=s3cret",
        "http://user:s3cret@127.0.0.1/x",
        "//127.0.0.1/x?signature=s3cret",
        "x?signature=s3cret",
        "",
        "http://[::1/x?signature=s3cret",
        &by_name,
    ] {
        let registry = Hostile::start(sends_to(location));
        let error = Puller::new(&[&registry]).pull(&reference(&registry.host())).unwrap_err();
        assert!(matches!(error, RegistryError::Redirect { .. }), "{location}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    assert_eq!(stranger.asked().len(), 0);
}

#[test]
fn addresses_that_are_no_machines_of_anybodys_are_not_connected_to() {
    for location in
        ["https://169.254.169.254/latest/meta-data", "https://0.0.0.0/x", "https://[fe80::1]/x", "https://224.0.0.1/x"]
    {
        let registry = Hostile::start(sends_to(location));
        let error = Puller::new(&[&registry]).pull(&reference(&registry.host())).unwrap_err();
        assert!(matches!(error, RegistryError::Inside { .. }), "{location}: {error}");
    }
}

#[test]
fn a_circle_of_redirects_ends() {
    let registry = Hostile::start(sends_to("/v2/desk-7/ema/round-and-round"));
    let error = Puller::new(&[&registry]).pull(&reference(&registry.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
    assert!(registry.asked().len() < 10, "{}", registry.asked().len());
}

#[test]
fn who_has_begun_with_tls_does_not_go_on_without() {
    let authority = authority();
    let store = Hostile::start(|_, to| answer(to, "200 OK", &[], MODULE));
    let location = format!("http://{}/x", store.host());
    let registry = Hostile::start_tls(&authority.certify("127.0.0.1"), sends_to(&location));
    // The store may be spoken to without TLS, and still not on the registry's word.
    let mut puller = Puller::new(&[&store]);
    puller.config.authorities = Some(puller.write("ca.crt", authority.pem()));
    let error = puller.pull(&reference(&registry.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
    assert_eq!(store.asked().len(), 0);
}

#[test]
fn a_registry_is_trusted_by_its_certificate_alone() {
    let (ours, theirs) = (authority(), authority());
    let here = Hostile::start_tls(&ours.certify("127.0.0.1"), honest);
    let elsewhere = Hostile::start_tls(&ours.certify("registry.example"), honest);
    let mut puller = Puller::new(&[]);
    let untrusted = |puller: &Puller, server: &Hostile| {
        let error = puller.pull(&reference(&server.host())).unwrap_err();
        assert!(matches!(error, RegistryError::Untrusted { .. }), "{error}");
        assert_eq!(server.asked().len(), 0, "and it was asked nothing");
        error.to_string()
    };
    assert!(untrusted(&puller, &here).contains("--registry-ca"));
    puller.config.authorities = Some(puller.write("ca.crt", theirs.pem()));
    untrusted(&puller, &here);
    puller.config.authorities = Some(puller.write("ca.crt", ours.pem()));
    assert!(untrusted(&puller, &elsewhere).contains("mismatch"), "a certificate for another name");
    assert_eq!(puller.pull(&reference(&here.host())).unwrap(), Digest::of(MODULE).hex());
    // One that has pulled nothing yet.
    let mut puller = Puller::new(&[]);
    puller.config.authorities = Some(puller.write("ca.crt", "no certificate"));
    let error = puller.pull(&reference(&here.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Authorities { .. }), "{error}");
}
