//! Compares the OpenAPI document with real responses, by a program that makes requests from it.

use super::host::Host;
use crate::support::program::find;
use crate::support::test;
use crate::support::upstream::Upstream;
use std::process::{Command, Output};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      negative_data_rejection,unsupported_method";

/// Requests for everything but the stream, which does not end: those of the document's examples, and those that leave out,
/// exceed and mistype what it says of each value. `None` where schemathesis is not installed.
fn schemathesis(host: &Host, document: &str) -> Option<Output> {
    let folder = std::path::Path::new(document).parent().unwrap();
    let mut run = Command::new(find("schemathesis")?);
    run.current_dir(folder)
        .args(["run", document, "--url", &format!("http://{}", host.admin)])
        .args(["--exclude-path", "/api/v1/events", "--phases", "examples,coverage"])
        .args(["--generation-deterministic", "--warnings", "off", "--no-color", "--checks", CHECKS]);
    Some(run.output().unwrap())
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_have() {
    let upstreams = Upstream::several(2);
    let host =
        Host::with(&upstreams, "round_robin", |admin| admin.keys(|| Ok::<_, std::io::Error>(super::host::ring(0))));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    let document = host.get("/api/v1/openapi.json").text();
    std::fs::write(&file, &document).unwrap();
    let Some(output) = schemathesis(&host, file.to_str().unwrap()) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let wrong = document.replace("[\"name\", \"address\", \"weight\",", "[\"name\", \"address\", \"mass\",");
    assert_ne!(wrong, document);
    // A document that does not have what is answered is found out.
    std::fs::write(&file, wrong).unwrap();
    assert!(!schemathesis(&host, file.to_str().unwrap()).unwrap().status.success());
}
