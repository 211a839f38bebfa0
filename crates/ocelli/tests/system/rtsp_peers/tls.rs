//! Cameras by TLS: GStreamer's server with certificates of its own making, of an authority's, and of nobody's.

use std::process::{Command, Output};

use tempfile::TempDir;

use super::camera::{Camera, certificate};
use crate::programs::{directory, installed, run};
use crate::server::{Server, command};

/// Runs `ocelli probe` of a camera's address, with `roots` as all that the system trusts.
fn probe(address: &str, roots: &str) -> (bool, String) {
    let mut probe = command();
    probe.args(["probe", address]).env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
    let Output { status, stdout, stderr } = probe.output().unwrap();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(!said.contains("s3cret"), "{said}");
    (status.success(), said)
}

/// Why a camera cannot be probed.
fn refused(address: &str, roots: &str) -> String {
    let (success, said) = probe(address, roots);
    assert!(!success, "{said}");
    said
}

/// The fingerprint of the certificate in a file, as OpenSSL writes it.
fn fingerprint(file: &str) -> String {
    let line = ["x509", "-noout", "-fingerprint", "-sha256", "-in", file];
    let said = Command::new("openssl").args(line).output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().rsplit('=').next().unwrap().to_owned()
}

/// An authority of this run's own, and a certificate of it for 127.0.0.1: the files of the first and of the second with its key.
fn authority(directory: &TempDir) -> (String, String) {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (root, key, request) = (path("root.pem"), path("root.key"), path("request"));
    let new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(directory, &format!("{new} -x509 -days 30 -subj /CN=Authority -keyout {key} -out {root}"));
    let camera = path("signed.pem");
    run(directory, &format!("{new} -subj /CN=camera -keyout {camera} -out {request}"));
    std::fs::write(path("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    run(
        directory,
        &format!(
            "openssl x509 -req -in {request} -CA {root} -CAkey {key} -CAcreateserial -days 30 -extfile {} -out {}",
            path("names"),
            path("certificate.pem")
        ),
    );
    let certificate = std::fs::read_to_string(path("certificate.pem")).unwrap();
    let key = std::fs::read_to_string(&camera).unwrap();
    std::fs::write(&camera, key + &certificate).unwrap();
    (root, camera)
}

#[test]
fn a_camera_with_a_certificate_of_its_own_is_believed_as_far_as_is_stated() {
    if !installed(&["openssl"]) {
        return;
    }
    let directory = directory();
    let file = certificate(&directory);
    let Some(camera) = Camera::start(&format!("--user a:s3cret --codec jpeg --tls {file}")) else { return };
    let address = camera.address("a:s3cret").replace("rtsp:", "rtsps:");
    let digits = fingerprint(&file);
    let short = digits.replace(':', "").to_lowercase();
    let nobody = "/nothing";

    let said = refused(&address, nobody);
    assert!(said.contains("this system has no certificates of those that it trusts"), "{said}");
    let (root, _) = authority(&directory);
    let said = refused(&address, &root);
    assert!(said.contains("the camera's certificate is signed by nobody that this system trusts"), "{said}");
    assert!(said.contains(&format!("add #fingerprint=sha256:{short} to its address")), "{said}");

    for trusted in [
        "tls=insecure".to_owned(),
        format!("fingerprint=sha256:{digits}"),
        format!("fingerprint=sha256:{short}"),
    ] {
        let (success, said) = probe(&format!("{address}#{trusted}"), nobody);
        assert!(success && said.contains("mjpeg 320x240"), "{said}");
    }
    let other = short.replace('a', "b").replace('0', "1");
    let said = refused(&format!("{address}#fingerprint=sha256:{other}"), nobody);
    assert!(
        said.contains("the camera shows another certificate than the one that is pinned: sha256:"),
        "{said}"
    );

    let said = refused(&address.replace("rtsps:", "rtsp:"), nobody);
    assert!(said.contains("rtsps://") || said.contains("closed the connection"), "{said}");

    let source = format!("cam={address}#transport=udp&fingerprint=sha256:{short}");
    let server = Server::start(&["--camera", &source]);
    server.until_state("cam", "ready");
    assert_eq!(server.get("/cameras/cam/snapshot").status, 200);
    server.stop();
}

#[test]
fn a_camera_with_a_certificate_of_an_authority_is_believed_if_that_is_trusted() {
    if !installed(&["openssl"]) {
        return;
    }
    let directory = directory();
    let (root, file) = authority(&directory);
    let Some(camera) = Camera::start(&format!("--codec h264 --tls {file}")) else { return };
    let address = camera.address("").replace("rtsp:", "rtsps:");
    let (success, said) = probe(&address, &root);
    assert!(success && said.contains("h264 320x240"), "{said}");
    let said = refused(&address.replace("127.0.0.1", "localhost"), &root);
    assert!(said.contains("is for another name than the address has"), "{said}");
}

#[test]
fn a_camera_without_tls_is_named() {
    let Some(camera) = Camera::start("--codec jpeg") else { return };
    let said =
        refused(&format!("{}#tls=insecure", camera.address("").replace("rtsp:", "rtsps:")), "/nothing");
    assert!(said.contains("speaks no TLS") || said.contains("broke off while TLS began"), "{said}");
}
