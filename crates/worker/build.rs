//! Builds the few C functions through which libavcodec is used, where it is.

fn main() {
    #[cfg(feature = "libav")]
    libav();
}

#[cfg(feature = "libav")]
fn libav() {
    const SOURCES: [&str; 2] = ["src/libav/shim.c", "src/h264/libav/encode.c"];
    for file in SOURCES.iter().chain(&["src/libav/shim.h"]) {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut build = cc::Build::new();
    // 59 is FFmpeg 5.0's libavcodec.
    for (library, least) in [("libavcodec", "59"), ("libswscale", "6"), ("libavutil", "57")] {
        match pkg_config::Config::new().atleast_version(least).probe(library) {
            Ok(found) => {
                build.includes(found.include_paths);
            }
            Err(error) => {
                eprintln!("{error}");
                eprintln!(
                    "install FFmpeg's libraries for developers, or build with --no-default-features: \
                     JPEG is then all that is decoded"
                );
                std::process::exit(1);
            }
        }
    }
    build.include("src/libav").files(SOURCES).warnings(true).compile("ocelli_libav");
}
