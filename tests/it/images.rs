//! The images: what is in them and what is not, and that they are the same bytes whenever they are made.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pinion_tests::captures::project_root;
use pinion_tests::images::{self, Entry, Image, Kind, PROGRAMS, archives, make, make_trees, name};
use pinion_tests::programs::build_folder;
use pinion_tests::scratch::Scratch;

/// User and group of the images; `RUNTIME_USER` of the operator is the same.
const USER: &str = "65532:65532";

#[test]
fn an_image_is_the_same_bytes_whoever_makes_it_wherever_and_whenever() {
    let (first, second, programs) = (Scratch::new(), Scratch::new(), Scratch::new());
    let Some(archives) = archives() else { return };
    for program in PROGRAMS {
        // Copies are younger, lie elsewhere and let others less.
        let copy = programs.path().join(program);
        std::fs::copy(build_folder().join(program), &copy).unwrap();
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o700)).unwrap();
    }
    let then = ("SOURCE_DATE_EPOCH", "1000000000");
    let here = make(&build_folder(), first.path(), &[then]);
    let elsewhere = make(programs.path(), second.path(), &[then, ("TZ", "Asia/Tokyo"), ("PYTHONHASHSEED", "7")]);
    let digests = |said: &str| said.lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(digests(&here), digests(&elsewhere));
    for archive in &archives {
        let [one, other] = [&first, &second].map(|made| made.path().join(archive.file_name().unwrap()));
        let bytes = std::fs::read(&one).unwrap();
        assert!(bytes == std::fs::read(&other).unwrap(), "{} differs", other.display());
        assert!(bytes != std::fs::read(archive).unwrap(), "another time is another image");
        let image = images::read(&one);
        assert_eq!(image.config["created"], "2001-09-09T01:46:40Z");
        assert!(image.files.values().all(|entry| entry.modified == 1_000_000_000));
    }
    print!("{here}");
}

#[test]
fn an_image_holds_a_program_what_it_needs_and_no_shell() {
    let Some(archives) = archives() else { return };
    for (program, archive) in PROGRAMS.into_iter().zip(&archives) {
        let Image { files, config, name: own, .. } = images::read(archive);
        assert_eq!(own, name(program));
        let executables: BTreeSet<&str> = files
            .iter()
            .filter(|(path, entry)| entry.kind == Kind::File && entry.mode & 0o111 != 0 && !path.contains(".so"))
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(executables, BTreeSet::from([format!("bin/{program}").as_str()]));
        let holds = |path: &str| files.contains_key(path);
        for path in
            ["etc/ssl/certs/ca-certificates.crt", "etc/passwd", "etc/nsswitch.conf", "usr/share/doc/pinion/LICENSE"]
        {
            assert!(holds(path), "{program} has no {path}");
        }
        assert!(
            files.keys().any(|path| path.contains("/ld-linux")) && files.keys().any(|path| path.contains("libc.so"))
        );
        for (path, Entry { owner, mode, kind, .. }) in &files {
            assert_eq!(*owner, (0, 0), "{path} is not root's");
            let writable = mode & 0o022 != 0 && path != "tmp";
            assert!(!writable && mode & 0o6000 == 0, "{path} has mode {mode:o}");
            assert!(matches!(kind, Kind::File | Kind::Folder), "{path} is {kind:?}");
        }
        assert_eq!(files["tmp"].mode, 0o1777);
        assert_eq!(config["config"]["User"], USER);
    }
}

#[test]
fn an_image_says_what_it_is_by_oci_annotations_and_labels() {
    let Some(archives) = archives() else { return };
    for (program, archive) in PROGRAMS.into_iter().zip(&archives) {
        let Image { manifest, config, .. } = images::read(archive);
        let (annotations, labels) = (&manifest["annotations"], &config["config"]["Labels"]);
        let said = |key: &str| {
            let key = format!("org.opencontainers.image.{key}");
            assert_eq!(annotations[&key], labels[&key], "{key}");
            annotations[&key].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(said("title"), program);
        assert_eq!(said("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(said("licenses"), "Apache-2.0");
        assert!(!said("description").is_empty());
        let revision = said("revision");
        // A source tree without its history has none.
        assert!(revision.is_empty() || revision.trim_end_matches("-dirty").len() == 40, "{revision}");
        assert_eq!(config["os"], "linux");
        assert!(["amd64", "arm64"].contains(&config["architecture"].as_str().unwrap()));
    }
}

#[test]
fn an_image_lets_a_scanner_know_its_libraries_packages() {
    let Some(archives) = archives() else { return };
    if !Path::new("/var/lib/dpkg/status").exists() {
        return; // Elsewhere than on Debian libraries are of no package that we know.
    }
    for archive in &archives {
        let files = images::read(archive).files;
        let package = &files["var/lib/dpkg/status.d/libc6"].content;
        assert!(String::from_utf8_lossy(package).contains("Version: "), "{}", archive.display());
        assert!(files.contains_key("usr/share/doc/libc6/copyright") && files.contains_key("etc/os-release"));
    }
}

/// What the Dockerfile says of a target.
#[derive(Default)]
struct Stage {
    instructions: Vec<(String, String)>,
}

impl Stage {
    fn of(program: &str) -> Self {
        let text = std::fs::read_to_string(project_root().join("deploy/images/Dockerfile")).unwrap();
        let mut stage = Self::default();
        let mut inside = false;
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or_default();
            match word {
                "FROM" => inside = rest == format!("scratch AS {program}"),
                "" | "#" => {}
                _ if inside => stage.instructions.push((word.to_owned(), rest.to_owned())),
                _ => {}
            }
        }
        stage
    }

    fn all(&self, word: &str) -> Vec<&str> {
        self.instructions.iter().filter(|(is, _)| is == word).map(|(_, rest)| rest.as_str()).collect()
    }
}

#[test]
fn the_dockerfile_makes_the_same_images() {
    let Some(archives) = archives() else { return };
    for (program, archive) in PROGRAMS.into_iter().zip(&archives) {
        let stage = Stage::of(program);
        let config = &images::read(archive).config["config"];
        let ports: BTreeMap<String, serde_json::Value> =
            stage.all("EXPOSE").into_iter().map(|port| (format!("{port}/tcp"), serde_json::json!({}))).collect();
        assert_eq!(config["ExposedPorts"], serde_json::to_value(ports).unwrap(), "{program}");
        assert_eq!([config["User"].as_str().unwrap()], stage.all("USER")[..]);
        assert_eq!([config["WorkingDir"].as_str().unwrap()], stage.all("WORKDIR")[..]);
        let [entrypoint] = stage.all("ENTRYPOINT")[..] else { panic!("one ENTRYPOINT of {program}") };
        assert_eq!(config["Entrypoint"], serde_json::from_str::<serde_json::Value>(entrypoint).unwrap());
        let environment: Vec<_> = stage.all("ENV").into_iter().flat_map(str::split_whitespace).collect();
        assert_eq!(config["Env"], serde_json::to_value(environment).unwrap());
        let labels = stage.all("LABEL");
        assert!(!labels.is_empty());
        for label in labels {
            let (key, value) = label.split_once('=').unwrap();
            assert_eq!(config["Labels"][key].as_str(), Some(value.trim_matches('"')), "{key}");
        }
        assert_eq!(stage.all("COPY"), [format!("--from=build /images/{program}/ /")]);
    }
}

#[test]
fn the_dockerfiles_file_systems_are_those_of_the_archives() {
    let trees = Scratch::new();
    let Some(archives) = archives() else { return };
    make_trees(&build_folder(), trees.path());
    for (program, archive) in PROGRAMS.into_iter().zip(&archives) {
        let root = trees.path().join(program);
        for (path, entry) in images::read(archive).files {
            let file = root.join(&path);
            let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, entry.mode, "{path} of {program}");
            if entry.kind == Kind::File {
                assert!(std::fs::read(&file).unwrap() == entry.content, "{path} of {program}");
            }
        }
    }
}
