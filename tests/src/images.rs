//! The images of runtime and operator, made of this build's programs by the project's own recipe, and what is in them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::captures::project_root;
use crate::programs::{build_folder, program};
use crate::require::skip;

/// The tag of images that tests make.
pub const TAG: &str = "test";

/// The programs of which there are images.
pub const PROGRAMS: [&str; 2] = ["pinion-runtime", "pinion-operator"];

/// A file of an image: its tar header says more than a file system would.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u64, u64),
    /// A folder, a link (with its target) or a file.
    pub kind: Kind,
    /// When it was changed, seconds.
    pub modified: u64,
    /// What is in it.
    pub content: Vec<u8>,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link to this.
    Link(String),
    /// Something else.
    Other(u8),
}

/// An image as its archive has it.
#[derive(Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Value,
    /// What a container starts with.
    pub config: Value,
    /// The name that containerd gives it.
    pub name: String,
    /// Its file system.
    pub files: BTreeMap<String, Entry>,
}

/// The image's name as pods write it.
#[must_use]
pub fn name(program: &str) -> String {
    format!("localhost/{program}:{TAG}")
}

/// Makes the images of the programs in a folder, as `make images` does. What the recipe prints: a line an image.
///
/// # Panics
/// If the recipe fails.
pub fn make(programs: &Path, out: &Path, environment: &[(&str, &str)]) -> String {
    recipe(&[], programs, out, environment)
}

/// Makes the file systems alone, each in a folder, as the Dockerfile does.
///
/// # Panics
/// If the recipe fails.
pub fn make_trees(programs: &Path, out: &Path) {
    recipe(&["--trees"], programs, out, &[]);
}

fn recipe(flags: &[&str], programs: &Path, out: &Path, environment: &[(&str, &str)]) -> String {
    let mut recipe = Command::new(project_root().join("deploy/images/build.sh"));
    recipe.args(flags).args([programs, out]).env("PINION_TAG", TAG).envs(environment.iter().copied());
    let output = recipe.output().unwrap_or_else(|error| panic!("run {recipe:?}: {error}"));
    assert!(output.status.success(), "{recipe:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the recipe prints text")
}

/// The archives of this build's programs, in the order of [`PROGRAMS`], made once a process; or a loud skip where there is no
/// Python.
///
/// # Panics
/// If the recipe fails.
#[must_use]
pub fn archives() -> Option<[PathBuf; 2]> {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        skip("an image is made by python3");
        return None;
    }
    let folder = MADE.get_or_init(|| {
        let _ = PROGRAMS.map(|name| program(name, name));
        let folder = build_folder().join("tmp/images");
        make(&build_folder(), &folder, &[]);
        folder
    });
    Some(PROGRAMS.map(|program| folder.join(format!("{program}.tar"))))
}

/// Reads an archive, and compares every digest with what it is of.
///
/// # Panics
/// If it is no OCI image layout of one image of one layer.
#[must_use]
pub fn read(archive: &Path) -> Image {
    let bytes = std::fs::read(archive).unwrap_or_else(|error| panic!("read {}: {error}", archive.display()));
    let layout = untar(&bytes);
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    assert_eq!(json(&layout["oci-layout"].content)["imageLayoutVersion"], "1.0.0");
    let blob = |described: &Value| {
        let digest = described["digest"].as_str().and_then(|text| text.strip_prefix("sha256:")).expect("a digest");
        let content = &layout[&format!("blobs/sha256/{digest}")].content;
        assert_eq!(digest, hex(content));
        assert_eq!(described["size"], content.len());
        content.as_slice()
    };
    let index = json(&layout["index.json"].content);
    let manifests = index["manifests"].as_array().expect("manifests");
    assert_eq!(manifests.len(), 1);
    let manifest = json(blob(&manifests[0]));
    let config = json(blob(&manifest["config"]));
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(layers.len(), 1);
    let mut layer = Vec::new();
    GzDecoder::new(blob(&layers[0])).read_to_end(&mut layer).expect("a gzipped layer");
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&layer)));
    let name = manifests[0]["annotations"]["io.containerd.image.name"].as_str().expect("a name").to_owned();
    Image { manifest, config, name, files: untar(&layer) }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The members of a tar in the format ustar, which is all that the recipe writes.
fn untar(mut bytes: &[u8]) -> BTreeMap<String, Entry> {
    let mut members = BTreeMap::new();
    while let Some((header, rest)) = bytes.split_at_checked(512).filter(|(header, _)| header[0] != 0) {
        let text = |from: usize, to: usize| {
            let field = header[from..to].split(|byte| *byte == 0).next().expect("a part");
            std::str::from_utf8(field).expect("text").trim().to_owned()
        };
        let octal = |from, to| u64::from_str_radix(&text(from, to), 8).expect("an octal number");
        assert_eq!(&header[257..262], b"ustar");
        let (prefix, last) = (text(345, 500), text(0, 100));
        let path = if prefix.is_empty() { last } else { format!("{prefix}/{last}") };
        let size = usize::try_from(octal(124, 136)).expect("a size");
        let kind = match header[156] {
            b'0' => Kind::File,
            b'2' => Kind::Link(text(157, 257)),
            b'5' => Kind::Folder,
            other => Kind::Other(other),
        };
        let entry = Entry {
            mode: u32::try_from(octal(100, 108)).expect("a mode"),
            owner: (octal(108, 116), octal(116, 124)),
            kind,
            modified: octal(136, 148),
            content: rest[..size].to_vec(),
        };
        assert!(members.insert(path.trim_end_matches('/').to_owned(), entry).is_none(), "{path} is there twice");
        bytes = &rest[size.next_multiple_of(512)..];
    }
    members
}
