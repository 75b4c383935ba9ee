fn main() { print!("{}", teegate_measurements::schema()); }
