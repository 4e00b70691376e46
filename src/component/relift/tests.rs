use super::*;
#[test]
fn try_all() {
    for file in std::fs::read_dir("components/dist").expect("dist") {
        let path = file.expect("file").path();
        let bytes = std::fs::read(&path).expect("read");
        match relift(&bytes) {
            Ok(r) => { println!("{} ok {} -> {} proven {}", path.display(), bytes.len(), r.bytes.len(), r.proven);
              std::fs::write(format!("/tmp/h3tools/re-{}", path.file_name().unwrap().to_str().unwrap()), &r.bytes).unwrap(); }
            Err(e) => println!("{} {e}", path.display()),
        }
    }
}
