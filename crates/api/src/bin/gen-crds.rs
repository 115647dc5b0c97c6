//! Writes the CustomResourceDefinitions to `charts/tombolo/files/crds/`, or with `--check` checks that they are there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tombolo_api::crds;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let check = match args.as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => {
            eprintln!("usage: gen-crds [--check]");
            return ExitCode::from(2);
        }
    };
    match run(&directory(), check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("gen-crds: {message}");
            ExitCode::FAILURE
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/tombolo/files/crds")
}

fn run(dir: &Path, check: bool) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("create {}: {e}", dir.display()))?;
    for (name, crd) in crds::all() {
        let path = dir.join(&name);
        let want = crds::to_yaml(&crd).map_err(|e| format!("write {name} as YAML: {e}"))?;
        let have = std::fs::read_to_string(&path).unwrap_or_default();
        if have == want {
            continue;
        }
        if check {
            return Err(format!(
                "charts/tombolo/files/crds/{name} is not what the types say; run `cargo xtask gen`"
            ));
        }
        std::fs::write(&path, want).map_err(|e| format!("write {}: {e}", path.display()))?;
        println!("wrote charts/tombolo/files/crds/{name}");
    }
    Ok(())
}
