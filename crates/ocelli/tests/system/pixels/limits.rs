//! As many variants as are allowed, and no more.

use super::{Film, small};
use crate::client::Viewer;
use crate::processes::until;
use crate::server::Server;

/// Looks that one more is refused, and says by which limit.
fn is_refused(server: &Server, path: &str, limit: &str) {
    let refused = server.get(path);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let words = refused.error();
    assert!(words.contains(limit), "{words}");
}

/// Waits until one more is let in.
fn is_let_in(server: &Server, path: &str) {
    until("there is a place", || {
        let mut viewer = crate::client::Connection::open(server.address());
        viewer.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        viewer.response(false).status == 200
    });
}

#[test]
fn encoders_are_counted_over_all_cameras_and_places_are_given_back() {
    let Some(film) = Film::new("320x240") else { return };
    let limits = "[limits]\nencoders = 2\n";
    let server = Server::configured(&[limits, &film.camera("cam"), &film.camera("other")].concat());
    for camera in ["cam", "other"] {
        server.until_state(camera, "ready");
    }
    let mut first = Viewer::open(server.address(), &small("cam", 160), "");
    let mut second = Viewer::open(server.address(), &small("other", 160), "");
    for viewer in [&mut first, &mut second] {
        viewer.next();
    }
    is_refused(&server, &small("other", 240), "encoders");
    // The same as another watches needs none of its own.
    let mut same = Viewer::open(server.address(), &small("cam", 161), "");
    same.next();
    drop((first, same));
    is_let_in(&server, &small("other", 240));
    second.next();
    server.stop();
}

#[test]
fn one_camera_cannot_take_all_the_places() {
    let Some(film) = Film::new("320x240") else { return };
    let limits = "[limits]\nvariants_per_camera = 2\n";
    let server = Server::configured(&[limits, &film.camera("cam"), &film.camera("other")].concat());
    for camera in ["cam", "other"] {
        server.until_state(camera, "ready");
    }
    let mut viewers = [160, 240].map(|width| Viewer::open(server.address(), &small("cam", width), ""));
    viewers.iter_mut().for_each(|viewer| drop(viewer.next()));
    is_refused(&server, "/cameras/cam/stream?width=160&quality=30", "variants_per_camera");
    is_let_in(&server, &small("other", 160));
    server.stop();
}
