//! The command line: what each command prints, and the exit statuses that scripts rely on. `homing status` is in
//! `admin/program.rs`.

use crate::support::gateway::run;
use std::fs;
use std::process::{Command, Output};

const UPSTREAM: &str = "[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:9001\"\n";

fn homing(arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("good.toml"), UPSTREAM).expect("write a configuration");
    fs::write(directory.path().join("bad.toml"), format!("{UPSTREAM}weight = 0\n")).expect("write a configuration");
    let Output { status, stdout, stderr } = run(directory.path(), arguments);
    (status.code(), String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"))
}

#[test]
fn a_check_exits_with_0_1_or_2() {
    let (code, out, err) = homing(&["check", "--config", "good.toml"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "good.toml: valid\n", ""));
    let place = "bad.toml:4:10: upstream[0].weight: invalid value: integer `0`, expected an integer from 1 to 65535\n";
    let (code, out, err) = homing(&["check", "--config", "bad.toml"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(1), "", place));
    let (code, out, err) = homing(&["check", "--config", "absent.toml"]);
    assert!(code == Some(1) && out.is_empty() && err.starts_with("absent.toml: can't be read: "), "{err}");
    let (code, out, err) = homing(&["check", "--conf", "good.toml"]);
    assert!(code == Some(2) && out.is_empty() && err.contains("--conf"), "{err}");
}

#[test]
fn what_is_missing_is_told_with_a_tip() {
    for command in ["run", "check"] {
        let (code, out, err) = homing(&[command]);
        assert!(code == Some(2) && out.is_empty(), "{out}");
        for word in ["--config <FILE>", "no file is looked for", "docs/CONFIGURATION.md", "--help"] {
            assert!(err.contains(word), "no {word} in {err}");
        }
    }
    let (code, _, err) = homing(&["--config", "good.toml"]);
    assert!(code == Some(2) && err.contains("homing run --config FILE"), "{err}");
    let (code, _, err) = homing(&["--no-such-option"]);
    assert!(code == Some(2) && err.contains("--no-such-option") && !err.contains("docs/"), "{err}");
}

#[test]
fn each_command_is_explained_with_examples() {
    let (code, out, _) = homing(&["--help"]);
    let commands: Vec<&str> = out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    assert_eq!((code, commands.as_slice()), (Some(0), ["run", "check", "status", "completions", "help"].as_slice()));
    assert!(out.contains("\nExamples:\n  homing "), "{out}");
    for command in &commands[..4] {
        let (code, out, _) = homing(&[command, "--help"]);
        assert!(code == Some(0) && out.contains(&format!("\nExamples:\n  homing {command}")), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 120), "{out}");
    }
}

#[test]
fn the_address_of_the_administration_is_checked() {
    for (admin, word) in [
        ("https://127.0.0.1:9090", "has no TLS"),
        ("127.0.0.1", "a port"),
        ("http://127.0.0.1:9090/api", "a port"),
        ("http://user@127.0.0.1:9090", "a port"),
    ] {
        let (code, _, err) = homing(&["status", "--admin", admin]);
        assert!(code == Some(2) && err.contains(word), "{admin}: {err}");
    }
}

/// Whether a shell can parse the script; `None` where that shell is absent.
fn parses(shell: &str, script: &str) -> Option<bool> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("script");
    fs::write(&file, script).expect("write the script");
    Some(Command::new(shell).arg("-n").arg(&file).output().ok()?.status.success())
}

#[test]
fn completions_are_scripts_of_their_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, err) = homing(&["completions", shell]);
        assert!(code == Some(0) && script.contains("completions") && err.is_empty(), "{err}");
        if ["bash", "fish", "zsh"].contains(&shell)
            && let Some(is_script) = parses(shell, &script)
        {
            assert!(is_script, "{shell} cannot parse {script}");
            let half = &script[..script.rfind("esac").or(script.rfind('"')).expect("an end")];
            assert_eq!(parses(shell, half), Some(false), "{shell} takes anything");
        }
    }
    let (code, _, err) = homing(&["completions", "cmd.exe"]);
    assert!(code == Some(2) && err.contains("bash"), "{err}");
}

/// What bash offers for the last of these words.
fn completed(words: &[&str]) -> String {
    let (_, script, _) = homing(&["completions", "bash"]);
    let last = words.len() - 1;
    let words = words.join(" ");
    let ask = format!(
        "{script}\nCOMP_WORDS=({words}); COMP_CWORD={last}; _homing homing \"${{COMP_WORDS[{last}]}}\" x; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["--norc", "-c", &ask]).output().expect("run bash");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn bash_completes_commands_and_options() {
    assert_eq!(completed(&["homing", "st"]), "status\n");
    assert_eq!(completed(&["homing", "run", "--con"]), "--config\n");
    assert_eq!(completed(&["homing", "status", "--tok"]), "--token-file\n");
    assert_eq!(completed(&["homing", "nothing"]), "\n");
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let written = run(folder.path(), &["man", "."]);
    assert!(written.status.success(), "{written:?}");
    let mut pages: Vec<_> = fs::read_dir(folder.path())
        .expect("list")
        .map(|file| file.expect("a file").file_name().into_string().expect("text"))
        .collect();
    pages.sort();
    assert_eq!(pages, ["homing-check.1", "homing-completions.1", "homing-run.1", "homing-status.1", "homing.1"]);
    let run_page = fs::read_to_string(folder.path().join("homing-run.1")).expect("read it");
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SIGNALS", "EXAMPLES"] {
        assert!(run_page.contains(&format!("\n.SH {section}\n")), "{run_page}");
    }
    let (code, _, err) = homing(&["man", "no/such/folder"]);
    assert!(code == Some(1) && err.contains("no/such/folder/homing.1: can't be written"), "{err}");
}
