//! A program that a test starts and ends.

use crate::support::GUARD;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Process {
    child: Child,
    lines: Receiver<String>,
    said: Arc<Mutex<String>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let said = Arc::new(Mutex::new(String::new()));
        let (errors, saying) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        thread::spawn(move || {
            errors.lines().map_while(Result::ok).for_each(|line| *saying.lock().unwrap() += &(line + "\n"));
        });
        Self { child, lines, said }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its output.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(GUARD).unwrap_or_else(|_| panic!("it says nothing: {}", self.said()))
    }

    /// What it has written to its standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn write(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn terminate(&self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success(), "it had ended already: {}", self.said());
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        crate::support::until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- a process said\n{}", self.said());
        }
    }
}

/// Runs a program to its end; what it printed.
pub fn run(command: &mut Command) -> String {
    let mut process = Process::start(command);
    let status = process.wait();
    let mut said = String::new();
    process.lines.iter().for_each(|line| said += &(line + "\n"));
    if let Some(mut errors) = process.child.stderr.take() {
        let _ = errors.read_to_string(&mut said);
    }
    assert!(status.success(), "{command:?}: {said}{}", process.said());
    said
}
