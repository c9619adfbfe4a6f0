//! The `gilscope` program: parse, run, map the outcome to an exit status.
fn main() {}
