//! What comes is what was asked for, of a length and in a time that have limits.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use super::hostile::{Hostile, answer, begin};
use super::{MODULE, Puller, honest, is_manifest, manifest, reference, reference_of};
use crate::limits::{MANIFEST_BYTES_MAX, MODULE_BYTES_MAX};
use crate::registry::RegistryError;
use crate::sandbox::artefact::Digest;

/// Writes without an end, as long as somebody reads.
fn without_end(to: &mut dyn super::Wire, piece: &[u8]) {
    while to.write_all(piece).is_ok() {}
}

#[test]
fn another_manifest_than_the_one_that_was_named_is_refused() {
    let server = Hostile::start(|asked, to| {
        if is_manifest(asked) {
            // One that would be right, of another module.
            return answer(to, "200 OK", &[], &manifest::artefact(b"another module").manifest);
        }
        answer(to, "200 OK", &[], b"another module");
    });
    let puller = Puller::new(&[&server]);
    let error = puller.pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::OtherDigest { what: "manifest", .. }), "{error}");
    assert_eq!((server.asked().len(), puller.kept()), (1, 0), "nothing that it says is followed, nothing is kept");
}

#[test]
fn another_module_than_the_manifest_names_is_refused_whatever_its_length() {
    let last = MODULE.len() - 1;
    let mut other = MODULE.to_vec();
    other[last] ^= 1;
    for (body, expected) in [
        (other, "digest mismatch: the module"),
        (MODULE[..last].to_vec(), "digest mismatch: the module"),
        (Vec::new(), "digest mismatch: the module"),
        ([MODULE, b"!"].concat(), "too large: the module"),
    ] {
        let server = Hostile::start(move |asked, to| match is_manifest(asked) {
            true => honest(asked, to),
            false => answer(to, "200 OK", &[], &body),
        });
        let puller = Puller::new(&[&server]);
        let error = puller.pull(&reference(&server.host())).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(puller.kept(), 0);
    }
}

#[test]
fn a_module_that_is_compressed_on_the_way_is_another_one() {
    let server = Hostile::start(|asked, to| {
        if is_manifest(asked) {
            return honest(asked, to);
        }
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&[0; 4_096]).unwrap();
        let mut packed = packed.finish().unwrap();
        packed.truncate(MODULE.len());
        answer(to, "200 OK", &[("content-encoding", "gzip")], &packed);
    });
    let error = Puller::new(&[&server]).pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::OtherDigest { what: "module", .. }), "{error}");
}

#[test]
fn a_manifest_without_end_is_read_to_its_limit_and_no_further() {
    let server = Hostile::start(|_, to| {
        begin(to, "200 OK");
        without_end(to, &[b' '; 65_536]);
    });
    let error = Puller::new(&[&server]).pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { what: "manifest", limit: MANIFEST_BYTES_MAX }), "{error}");
}

#[test]
fn a_module_without_end_is_read_to_the_length_that_the_manifest_says() {
    let server = Hostile::start(|asked, to| {
        if is_manifest(asked) {
            return honest(asked, to);
        }
        begin(to, "200 OK");
        without_end(to, &[0; 65_536]);
    });
    let puller = Puller::new(&[&server]);
    let error = puller.pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { what: "module", .. }), "{error}");
    assert_eq!(puller.kept(), 0);
}

#[test]
fn a_module_that_is_larger_than_any_may_be_is_not_asked_for() {
    let layers = json!([{"mediaType": "application/wasm", "digest": Digest::of(MODULE).to_string(), "size": MODULE_BYTES_MAX + 1}]);
    let manifest = json!({"schemaVersion": 2, "layers": layers}).to_string().into_bytes();
    let sent = manifest.clone();
    let server = Hostile::start(move |_, to| answer(to, "200 OK", &[], &sent));
    let error = Puller::new(&[&server]).pull(&reference_of(&server.host(), &manifest)).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { what: "module", limit: MODULE_BYTES_MAX }), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_head_without_end_ends_the_pull() {
    let server = Hostile::start(|_, to| {
        let _ = to.write_all(b"HTTP/1.1 200 OK\r\n");
        without_end(to, format!("x-flood: {}\r\n", "x".repeat(4_000)).as_bytes());
    });
    let error = Puller::new(&[&server]).pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
}

#[test]
fn what_is_no_http_and_what_breaks_off_is_told_so() {
    for (text, expected) in [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "is not reached"),
        ("", "is not reached"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{", "broke off"),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "answers 500 Internal Server Error where a manifest"),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "not found: "),
        ("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", "forbidden: "),
        ("HTTP/1.1 206 Part\r\ncontent-length: 0\r\n\r\n", "answers 206"),
    ] {
        let server = Hostile::start(move |_, to| to.write_all(text.as_bytes()).unwrap());
        let error = Puller::new(&[&server]).pull(&reference(&server.host())).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_server_that_says_nothing_is_left_when_the_wait_for_an_answer_is_over() {
    let server = Hostile::start(|_, _| std::thread::park_timeout(Duration::from_secs(60)));
    let mut puller = Puller::new(&[&server]);
    puller.config.patience.stall = Duration::from_millis(300);
    let error = puller.pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Slow { limit, .. } if limit == puller.config.patience.stall), "{error}");
}

#[test]
fn a_body_that_stops_is_left_when_the_wait_for_its_next_part_is_over() {
    let server = Hostile::start(|asked, to| {
        if is_manifest(asked) {
            return honest(asked, to);
        }
        begin(to, "200 OK");
        let _ = to.write_all(&MODULE[..3]).and_then(|()| to.flush());
        std::thread::park_timeout(Duration::from_secs(60));
    });
    let mut puller = Puller::new(&[&server]);
    puller.config.patience.stall = Duration::from_millis(300);
    let error = puller.pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Slow { limit, .. } if limit == puller.config.patience.stall), "{error}");
    assert_eq!(puller.kept(), 0);
}

#[test]
fn a_body_that_drips_is_left_when_the_time_of_a_whole_pull_is_over() {
    let server = Hostile::start(|_, to| {
        begin(to, "200 OK");
        while to.write_all(b" ").and_then(|()| to.flush()).is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let mut puller = Puller::new(&[&server]);
    puller.config.patience.transfer = Duration::from_millis(700);
    let error = puller.pull(&reference(&server.host())).unwrap_err();
    assert!(matches!(error, RegistryError::Slow { limit, .. } if limit == puller.config.patience.transfer), "{error}");
}
