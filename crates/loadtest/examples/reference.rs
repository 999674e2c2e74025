//! Prints the page with every field of a LoadTest, for `docs/reference.md`.

fn main() {
    print!("{}", loadtest::reference::reference());
}
