fn main() {
    napi_build::setup();

    // The library must never be unmapped: when the last worker that loaded it ends, Node calls
    // dlclose, while the thread that owns the connections may be running this very code.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg-cdylib=-Wl,-z,nodelete");
    }
}
