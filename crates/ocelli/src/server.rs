//! `ocelli serve`: from a checked configuration to running cameras and a listener, and back to nothing.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use ocelli_hub::{Bounds, Policy};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, CameraEntry, CameraSetup};
use crate::children;
use crate::config::{CameraConfig, Config, RtspListen};
use crate::connections::Connections;
use crate::http::{self, ListenerLimits, state_name};
use crate::log;
use crate::open_files;
use crate::outputs::rtp::RtpOptions;
use crate::outputs::rtsp::{self, Rtsp};
use crate::sources::publish::Stage;
use crate::variants::{Encoders, Rules};
use crate::viewers::Viewers;

/// How long cameras' processes may take to end once the program is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(4);
/// Memory that one stream's ring may keep, in bytes. The count of pictures is the usual bound; this one is for huge
/// ones.
const RING_BYTES: usize = 64 << 20;

/// Runs the server until it is told to stop.
///
/// # Errors
/// What keeps it from running: an address in use, no permission.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    log::start(config.log_level.as_str());
    let ended = run_to_the_end(config);
    log::flush();
    ended
}

fn run_to_the_end(config: &Config) -> anyhow::Result<ExitCode> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    open_files::allow_many();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.limits.worker_threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build().context("the runtime could not be started")?;
    runtime.block_on(serve(config))?;
    // Tasks that are still there hold nothing but sockets.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let stopping = stop_signal()?;
    let listener = TcpListener::bind(config.http).await.with_context(|| {
        format!("cannot listen on http://{} (another program may: try --port)", config.http)
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let rtsp_listener = listen_for_rtsp(config.rtsp_listen).await?;
    let app = start(config);
    if let Some(address) = rtsp_listener.as_ref().and_then(|listener| listener.local_addr().ok()) {
        // It is told once.
        let _ = app.rtsp.listens.set(address);
    }
    tell_publishers(&app);
    let router = http::router(app.clone(), &config.cors, &machine_name());
    let limits = ListenerLimits {
        connections: config.limits.connections,
        head_bytes: config.limits.request_head_bytes,
        head_timeout: config.limits.request_timeout,
    };
    greet(config, address, &app);
    tokio::select! {
        () = http::serve(listener, router, app.connections.clone(), limits) => {}
        () = serve_rtsp(rtsp_listener, &app, config) => {}
        () = log_statistics(&app, config.stats_interval) => {}
        () = stopping => {}
    }
    tracing::info!("stopping");
    for camera in &app.cameras {
        camera.stop();
    }
    let stopped = async {
        // A camera's task may be starting a process at this moment, which nobody knows of yet: first the tasks, then
        // what they leave behind.
        while !app.cameras.iter().all(|camera| camera.has_stopped()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        children::all_ended().await;
    };
    if tokio::time::timeout(STOP_LIMIT, stopped).await.is_err() {
        tracing::warn!("a camera's process did not end in time");
    }
    Ok(())
}

/// The listener of RTSP. A usual port that another program has is left to it.
async fn listen_for_rtsp(listen: RtspListen) -> anyhow::Result<Option<TcpListener>> {
    match listen {
        RtspListen::Off => Ok(None),
        RtspListen::Usual(address) => match TcpListener::bind(address).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(
                    "no RTSP: cannot listen on {address}: {error} (another program may: try --rtsp)"
                );
                Ok(None)
            }
        },
        RtspListen::At(address) => {
            let listener = TcpListener::bind(address).await;
            listener
                .with_context(|| {
                    format!("cannot listen on rtsp://{address} (another program may: try --rtsp)")
                })
                .map(Some)
        }
    }
}

async fn serve_rtsp(listener: Option<TcpListener>, app: &Arc<App>, config: &Config) {
    match listener {
        Some(listener) => rtsp::serve(listener, app.clone(), config.rtsp.clone()).await,
        None => std::future::pending().await,
    }
}

fn start(config: &Config) -> Arc<App> {
    let cameras = config.cameras.iter().filter(|camera| camera.enabled);
    let bounds = Bounds { pieces: config.limits.buffer_size, bytes: RING_BYTES };
    let encoders = Encoders::new(config.limits.encoders);
    let pixels = |camera: &CameraConfig| Rules {
        encoders: encoders.clone(),
        per_camera: config.limits.variants_per_camera,
        max_latency: camera.pixels.max_latency,
        lowest: camera.pixels.lowest,
        decoders: camera.pixels.decoders.clone(),
        h264_encoders: camera.pixels.encoders.clone(),
        ffmpeg: config.ffmpeg.clone(),
        ffmpeg_first: camera.pixels.by_ffmpeg,
        quality: camera.options.quality,
        on_lost: camera.on_lost,
    };
    Arc::new(App {
        cameras: cameras
            .map(|camera| CameraEntry::start(setup(camera, bounds, config.rtp, pixels(camera))))
            .collect(),
        viewers: Viewers::new(config.limits.viewers),
        rtsp: Rtsp::default(),
        connections: Arc::<Connections>::default(),
        encoders,
        started: Instant::now(),
    })
}

fn setup(camera: &CameraConfig, bounds: Bounds, rtp: RtpOptions, pixels: Rules) -> CameraSetup {
    let stage = Stage::of(camera.source.as_str());
    CameraSetup {
        name: camera.name.clone(),
        source_text: camera.source.to_string(),
        source: stage.as_ref().map_or_else(|| camera.build(), |stage| stage.source(&camera.options)),
        stage,
        policy: Policy { on_demand: camera.on_demand, ..camera.options.policy(camera.source.scheme()) },
        on_lost: camera.on_lost,
        bounds,
        push: camera.push.clone(),
        rtp,
        pixels,
        pixel_options: camera.pixels.clone(),
    }
}

/// Says what is shown and where. To nobody, if whoever started the program has closed its standard output.
fn greet(config: &Config, address: SocketAddr, app: &App) {
    let chosen = config.chosen.iter().map(|sentence| format!("{sentence}\n")).collect::<String>();
    let rtsp = app
        .first()
        .and_then(|camera| rtsp_address(app, camera))
        .map(|address| format!("Players find it at {address}.\n"))
        .unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{chosen}{rtsp}Open {} to watch.", page_address(address));
}

/// Says where cameras that are published to can be published to.
fn tell_publishers(app: &App) {
    for camera in &app.cameras {
        match (camera.stage(), rtsp_address(app, camera)) {
            (Some(stage), Some(address)) => stage.open(address),
            (Some(stage), None) => stage.close("nobody can publish to it: there is no RTSP server"),
            (None, _) => {}
        }
    }
}

/// Where a player finds `camera`, and a publisher, if there is RTSP.
fn rtsp_address(app: &App, camera: &CameraEntry) -> Option<String> {
    let (listens, camera) = (app.rtsp.listens.get()?, camera.name());
    Some(if listens.ip().is_unspecified() {
        format!("rtsp://{}:{}/{camera}", machine_name(), listens.port())
    } else {
        format!("rtsp://{listens}/{camera}")
    })
}

/// Where a browser finds the page: a listener on every address is reached by this machine's own name.
fn page_address(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return format!("http://{address}/");
    }
    let name = machine_name();
    let port = address.port();
    format!("http://localhost:{port}/ (from another machine: http://{name}:{port}/)")
}

fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn log_statistics(app: &App, every: Option<Duration>) {
    let Some(every) = every else { return std::future::pending().await };
    let mut due = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    loop {
        due.tick().await;
        let (mut frames, mut pushed, mut push_bytes, mut push_lost) = (0, 0, 0, 0);
        for camera in &app.cameras {
            let (status, stats) = (camera.status(), camera.stream().stats());
            tracing::info!(
                camera = %camera.name(),
                state = state_name(&status.state),
                fps = format!("{:.1}", stats.rate.frames_per_second),
                kbit_s = (stats.rate.bits_per_second / 1000.0) as u64,
                frames = stats.frames,
                dropped = http::dropped(&stats),
                viewers = app.viewers.watching(camera.name()),
                restarts = status.restarts,
                "statistics"
            );
            frames += stats.frames;
            for push in camera.pushes() {
                let of = push.stats();
                let dropped = http::push_dropped(of);
                tracing::info!(
                    camera = %camera.name(),
                    to = push.address().label(),
                    pictures = of.pictures(),
                    packets = of.packets(),
                    bytes = of.bytes(),
                    dropped,
                    refused_by_host = of.refused_by_host(),
                    p99_ms = of.latency().p99.map(|p99| format!("{:.1}", p99.as_secs_f64() * 1e3)),
                    "statistics of RTP push"
                );
                pushed += of.pictures();
                push_bytes += of.bytes();
                push_lost += dropped;
            }
        }
        if app.cameras.len() < 2 {
            continue;
        }
        tracing::info!(
            cameras = app.cameras.len(),
            frames,
            pushed,
            push_bytes,
            push_dropped = push_lost,
            viewers = app.viewers.present().len(),
            "statistics of all cameras"
        );
    }
}

/// A future that is ready once the program is told to stop. A second signal stops it at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            // Nobody is left to end a camera's process that does not end by itself.
            children::kill_all();
            log::flush();
            std::process::exit(1);
        });
    })
}
