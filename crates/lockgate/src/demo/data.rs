//! Made-up people, orders and staff for the sample shop, as COPY text.
//!
//! The same seed gives the same bytes, so that what the show prints can be checked. The values look like real ones (card
//! numbers pass the Luhn check, social security numbers avoid the ranges that were never issued) because a masking product
//! shown on `foo` and `bar` proves nothing. No value belongs to anybody: e-mail addresses end in domains reserved for
//! examples and telephone numbers lie in the range reserved for fiction.

use std::io::{self, Write};

/// How many rows of each table are made, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shop {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Rows of `public.customers`; ids run from 1.
    pub customers: u32,
    /// Rows of `public.orders`.
    pub orders: u32,
    /// Rows of `hr.employees`.
    pub employees: u32,
}

impl Shop {
    /// A shop with `customers` people, twice as many orders, and 400 employees.
    pub const fn with_customers(customers: u32) -> Self {
        Shop { seed: 20_261_121, customers, orders: customers.saturating_mul(2), employees: 400 }
    }

    /// Writes `public.customers` as COPY text.
    pub fn write_customers(&self, out: &mut impl Write) -> io::Result<()> {
        let mut dice = Dice::new(self.seed, 1);
        for id in 1..=self.customers {
            let person = Person::roll(&mut dice);
            let (city, region, area) = dice.pick(CITIES).copied().unwrap_or(("Springfield", "IL", "217"));
            let house = dice.between(1, 2_400);
            let street = dice.word(STREETS);
            let joined = Day::at(dice.between(16_800, 20_600)); // 2015-12-31 to 2026-05-27
            writeln!(
                out,
                "{id}\t{} {}\t{}\t{}\t{}\t+1-{area}-555-01{:02}\t{}\t{house} {street}\t{city}\t{region}\t{joined} {:02}:{:02}:00+00\t{}",
                person.first,
                person.last,
                person.email(id),
                ssn(&mut dice),
                card(&mut dice),
                dice.between(0, 99),
                person.born,
                dice.between(0, 23),
                dice.between(0, 59),
                dice.between(0, 25_000),
            )?;
        }
        Ok(())
    }

    /// Writes `public.products` as COPY text.
    pub fn write_products(&self, out: &mut impl Write) -> io::Result<()> {
        for (id, (name, category, cents)) in (1u32..).zip(PRODUCTS) {
            writeln!(out, "{id}\t{name}\t{category}\t{}", Money(*cents))?;
        }
        Ok(())
    }

    /// Writes `public.orders` as COPY text.
    pub fn write_orders(&self, out: &mut impl Write) -> io::Result<()> {
        let mut dice = Dice::new(self.seed, 2);
        let products = u64::try_from(PRODUCTS.len()).unwrap_or(1);
        for id in 1..=self.orders {
            let customer = dice.between(1, u64::from(self.customers.max(1)));
            let product = dice.between(1, products);
            let cents = usize::try_from(product - 1).ok().and_then(|at| PRODUCTS.get(at)).map_or(0, |p| p.2);
            let quantity = dice.between(1, 4);
            let status = dice.word(&["paid", "shipped", "shipped", "delivered", "delivered", "delivered", "cancelled"]);
            writeln!(
                out,
                "{id}\t{customer}\t{product}\t{quantity}\t{}\t{status}\t{} {:02}:{:02}:{:02}+00",
                Money(cents * quantity),
                Day::at(dice.between(19_700, 20_700)),
                dice.between(0, 23),
                dice.between(0, 59),
                dice.between(0, 59),
            )?;
        }
        Ok(())
    }

    /// Writes `hr.employees` as COPY text.
    pub fn write_employees(&self, out: &mut impl Write) -> io::Result<()> {
        let mut dice = Dice::new(self.seed, 3);
        for id in 1..=self.employees {
            let person = Person::roll(&mut dice);
            let (title, low, high) = dice.pick(TITLES).copied().unwrap_or(("Clerk", 30, 40));
            let salary = dice.between(low * 1_000, high * 1_000) * 100;
            writeln!(
                out,
                "{id}\t{} {}\t{}.{}@shop.example\t{}\t{title}\t{}\t{}",
                person.first,
                person.last,
                person.first.to_lowercase(),
                person.last.to_lowercase(),
                ssn(&mut dice),
                Money(salary),
                person.born,
            )?;
        }
        Ok(())
    }
}

struct Person {
    first: &'static str,
    last: &'static str,
    born: Day,
    domain: &'static str,
    style: u64,
}

impl Person {
    fn roll(dice: &mut Dice) -> Self {
        Person {
            first: dice.word(FIRST_NAMES),
            last: dice.word(LAST_NAMES),
            born: Day::at(dice.between(0, 24_000)).years_before_epoch(28),
            domain: dice.word(&["example.com", "example.com", "example.org", "example.net", "mail.example"]),
            style: dice.between(0, 3),
        }
    }

    fn email(&self, id: u32) -> String {
        let (first, last) = (self.first.to_lowercase(), self.last.to_lowercase());
        let initial = first.get(..1).unwrap_or("x");
        match self.style {
            0 => format!("{first}.{last}{id}@{}", self.domain),
            1 => format!("{initial}{last}{id}@{}", self.domain),
            2 => format!("{first}_{id}@{}", self.domain),
            _ => format!("{last}.{first}.{id}@{}", self.domain),
        }
    }
}

/// Area 001–899 without 666, group and serial never zero: what the Social Security Administration's rules allow.
fn ssn(dice: &mut Dice) -> String {
    let area = match dice.between(1, 898) {
        666 => 899,
        area => area,
    };
    format!("{area:03}-{:02}-{:04}", dice.between(1, 99), dice.between(1, 9_999))
}

/// Sixteen digits that begin as a Visa or Mastercard number does and end in the Luhn check digit.
fn card(dice: &mut Dice) -> String {
    let prefix = if dice.between(0, 1) == 0 { 40 + dice.between(0, 9) } else { dice.between(51, 55) };
    let body = prefix * 10_000_000_000_000 + dice.between(0, 9_999_999_999_999);
    let mut sum = 0;
    let mut rest = body;
    for place in 0..15 {
        let digit = rest % 10;
        rest /= 10;
        // Counted from the right of the whole number, the check digit is first, so that the body's last digit is doubled.
        sum += match (place % 2 == 0, digit * 2) {
            (true, doubled) if doubled > 9 => doubled - 9,
            (true, doubled) => doubled,
            (false, _) => digit,
        };
    }
    let number = body * 10 + (10 - sum % 10) % 10;
    let group = |power: u64| number / power % 10_000;
    format!("{:04} {:04} {:04} {:04}", group(1_000_000_000_000), group(100_000_000), group(10_000), group(1))
}

/// Cents, printed with two decimals.
struct Money(u64);

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Days since 1970-01-01, printed as a date.
#[derive(Clone, Copy)]
struct Day(i64);

impl Day {
    fn at(days: u64) -> Self {
        Day(i64::try_from(days).unwrap_or(0))
    }

    fn years_before_epoch(self, years: i64) -> Self {
        Day(self.0 - years * 365)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stamp = lockgate_core::Timestamp::from_millis(self.0 * 86_400_000).to_string();
        f.write_str(stamp.get(..10).unwrap_or("1970-01-01"))
    }
}

/// SplitMix64: one multiply-and-shift a number, and every seed gives a full period. Not for secrets.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, table: u64) -> Self {
        Dice(seed ^ table.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high.saturating_sub(low) + 1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.roll() % u64::try_from(from.len()).unwrap_or(1).max(1);
        from.get(usize::try_from(at).unwrap_or(0))
    }

    fn word(&mut self, from: &[&'static str]) -> &'static str {
        self.pick(from).copied().unwrap_or("")
    }
}

const FIRST_NAMES: &[&str] = &[
    "Olivia",
    "Liam",
    "Emma",
    "Noah",
    "Amelia",
    "Oliver",
    "Charlotte",
    "Elijah",
    "Sofia",
    "Mateo",
    "Isabella",
    "Lucas",
    "Ava",
    "Levi",
    "Mia",
    "Ezra",
    "Luna",
    "Asher",
    "Evelyn",
    "Leo",
    "Gianna",
    "James",
    "Camila",
    "Luca",
    "Aria",
    "Henry",
    "Ella",
    "Hudson",
    "Mila",
    "Ethan",
    "Elena",
    "Muhammad",
    "Avery",
    "Maverick",
    "Scarlett",
    "Theodore",
    "Layla",
    "Grayson",
    "Priya",
    "Daniel",
    "Hana",
    "Michael",
    "Chloe",
    "Jack",
    "Penelope",
    "Benjamin",
    "Riley",
    "Elias",
    "Zoey",
    "Samuel",
    "Nora",
    "Carter",
    "Lily",
    "David",
    "Hazel",
    "Joseph",
    "Violet",
    "Wyatt",
    "Aurora",
    "Matthew",
    "Stella",
    "Owen",
    "Ivy",
    "Julian",
    "Emilia",
    "Isaac",
    "Zoe",
    "Anthony",
    "Naomi",
    "Thomas",
    "Ruby",
    "Charles",
    "Alice",
    "Aaron",
    "Sadie",
    "Christopher",
    "Hailey",
    "Andrew",
    "Eva",
    "Joshua",
    "Autumn",
    "Nathan",
    "Quinn",
    "Caleb",
    "Piper",
    "Ryan",
    "Sophie",
    "Adrian",
    "Lydia",
    "Miles",
    "Josephine",
    "Kenji",
    "Ingrid",
    "Yusuf",
    "Fatima",
    "Tomas",
    "Agnes",
    "Wei",
    "Adaeze",
    "Ravi",
];

const LAST_NAMES: &[&str] = &[
    "Smith",
    "Johnson",
    "Williams",
    "Brown",
    "Jones",
    "Garcia",
    "Miller",
    "Davis",
    "Rodriguez",
    "Martinez",
    "Hernandez",
    "Lopez",
    "Gonzalez",
    "Wilson",
    "Anderson",
    "Thomas",
    "Taylor",
    "Moore",
    "Jackson",
    "Martin",
    "Lee",
    "Perez",
    "Thompson",
    "White",
    "Harris",
    "Sanchez",
    "Clark",
    "Ramirez",
    "Lewis",
    "Robinson",
    "Walker",
    "Young",
    "Allen",
    "King",
    "Wright",
    "Scott",
    "Torres",
    "Nguyen",
    "Hill",
    "Flores",
    "Green",
    "Adams",
    "Nelson",
    "Baker",
    "Hall",
    "Rivera",
    "Campbell",
    "Mitchell",
    "Carter",
    "Roberts",
    "Gomez",
    "Phillips",
    "Evans",
    "Turner",
    "Diaz",
    "Parker",
    "Cruz",
    "Edwards",
    "Collins",
    "Reyes",
    "Stewart",
    "Morris",
    "Morales",
    "Murphy",
    "Cook",
    "Rogers",
    "Gutierrez",
    "Ortiz",
    "Morgan",
    "Cooper",
    "Peterson",
    "Bailey",
    "Reed",
    "Kelly",
    "Howard",
    "Ramos",
    "Kim",
    "Cox",
    "Ward",
    "Richardson",
    "Watson",
    "Brooks",
    "Chavez",
    "Wood",
    "Bennett",
    "Gray",
    "Mendoza",
    "Ruiz",
    "Hughes",
    "Price",
    "Alvarez",
    "Castillo",
    "Sanders",
    "Patel",
    "Myers",
    "Long",
    "Okafor",
    "Nakamura",
    "Lindqvist",
    "Kowalski",
    "Haddad",
    "Novak",
    "Schneider",
    "Moreau",
    "Rossi",
    "Larsen",
];

const STREETS: &[&str] = &[
    "Maple Street",
    "Oak Avenue",
    "Cedar Lane",
    "Pine Road",
    "Elm Street",
    "Washington Boulevard",
    "Lake Drive",
    "Hillcrest Road",
    "Park Avenue",
    "Sunset Terrace",
    "River Road",
    "Church Street",
    "Mill Lane",
    "Prospect Street",
    "Highland Avenue",
    "Spring Street",
    "Meadow Court",
    "Juniper Way",
    "Chestnut Street",
    "Willow Drive",
];

/// City, region, and a telephone area code of the region.
const CITIES: &[(&str, &str, &str)] = &[
    ("New York", "NY", "212"),
    ("Buffalo", "NY", "716"),
    ("Los Angeles", "CA", "213"),
    ("San Diego", "CA", "619"),
    ("Oakland", "CA", "510"),
    ("Chicago", "IL", "312"),
    ("Houston", "TX", "713"),
    ("Austin", "TX", "512"),
    ("Dallas", "TX", "214"),
    ("Phoenix", "AZ", "602"),
    ("Tucson", "AZ", "520"),
    ("Philadelphia", "PA", "215"),
    ("Pittsburgh", "PA", "412"),
    ("Jacksonville", "FL", "904"),
    ("Miami", "FL", "305"),
    ("Columbus", "OH", "614"),
    ("Cleveland", "OH", "216"),
    ("Charlotte", "NC", "704"),
    ("Indianapolis", "IN", "317"),
    ("Seattle", "WA", "206"),
    ("Denver", "CO", "303"),
    ("Boston", "MA", "617"),
    ("Nashville", "TN", "615"),
    ("Portland", "OR", "503"),
    ("Detroit", "MI", "313"),
    ("Albuquerque", "NM", "505"),
    ("Milwaukee", "WI", "414"),
    ("Atlanta", "GA", "404"),
    ("Minneapolis", "MN", "612"),
    ("New Orleans", "LA", "504"),
    ("Honolulu", "HI", "808"),
    ("Anchorage", "AK", "907"),
];

/// Name, category, price in cents.
const PRODUCTS: &[(&str, &str, u64)] = &[
    ("Espresso machine", "kitchen", 24_900),
    ("Cast-iron pan", "kitchen", 4_450),
    ("Chef's knife", "kitchen", 8_900),
    ("Stand mixer", "kitchen", 32_900),
    ("Water kettle", "kitchen", 3_990),
    ("Desk lamp", "office", 5_490),
    ("Office chair", "office", 27_900),
    ("Notebook, dotted", "office", 1_290),
    ("Fountain pen", "office", 6_500),
    ("Standing desk", "office", 54_900),
    ("Hiking boots", "outdoor", 15_900),
    ("Two-person tent", "outdoor", 22_900),
    ("Sleeping bag", "outdoor", 9_900),
    ("Head torch", "outdoor", 3_490),
    ("Trail backpack", "outdoor", 12_900),
    ("Bicycle helmet", "sports", 7_900),
    ("Yoga mat", "sports", 3_290),
    ("Running shoes", "sports", 13_900),
    ("Kettlebell 16 kg", "sports", 5_900),
    ("Climbing rope", "sports", 14_900),
    ("Novel, hardcover", "books", 2_490),
    ("Cookbook", "books", 3_490),
    ("Atlas of the oceans", "books", 5_990),
    ("Picture book", "books", 1_690),
    ("Board game", "toys", 3_990),
    ("Building blocks", "toys", 4_990),
    ("Wooden train", "toys", 5_490),
    ("Plush bear", "toys", 2_290),
    ("Headphones", "electronics", 18_900),
    ("E-reader", "electronics", 14_900),
    ("Bluetooth speaker", "electronics", 8_900),
    ("Power bank", "electronics", 4_490),
    ("Raincoat", "clothing", 9_900),
    ("Wool jumper", "clothing", 8_490),
    ("Linen shirt", "clothing", 5_990),
    ("Socks, three pairs", "clothing", 1_790),
];

/// Title, and the salary range in thousands.
const TITLES: &[(&str, u64, u64)] = &[
    ("Software engineer", 88, 165),
    ("Site reliability engineer", 98, 172),
    ("Data analyst", 70, 118),
    ("Warehouse lead", 48, 66),
    ("Picker", 34, 43),
    ("Customer support agent", 38, 54),
    ("Accountant", 62, 95),
    ("Product manager", 95, 160),
    ("Head of finance", 150, 210),
    ("Buyer", 52, 84),
    ("Security engineer", 102, 178),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn rows(write: impl Fn(&Shop, &mut Vec<u8>) -> io::Result<()>) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        write(&Shop::with_customers(5_000), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(rows(Shop::write_customers), rows(Shop::write_customers));
    }

    #[test]
    fn every_table_has_its_columns() {
        for (table, width, rows) in [
            ("customers", 12, rows(Shop::write_customers)),
            ("products", 4, rows(Shop::write_products)),
            ("orders", 7, rows(Shop::write_orders)),
            ("employees", 7, rows(Shop::write_employees)),
        ] {
            assert!(!rows.is_empty(), "{table}");
            for row in rows {
                assert_eq!(row.len(), width, "{table}: {row:?}");
                assert!(row.iter().all(|cell| !cell.is_empty() && !cell.contains('\\')), "{table}: {row:?}");
            }
        }
    }

    #[test]
    fn cards_pass_the_luhn_check_and_addresses_are_unique() {
        let rows = rows(Shop::write_customers);
        for row in &rows {
            let digits: Vec<u32> = row[4].chars().filter_map(|c| c.to_digit(10)).collect();
            assert_eq!(digits.len(), 16);
            let sum: u32 = digits
                .iter()
                .rev()
                .enumerate()
                .map(|(i, d)| if i % 2 == 1 { d * 2 / 10 + d * 2 % 10 } else { *d })
                .sum();
            assert_eq!(sum % 10, 0, "{}", row[4]);
            assert!(!row[3].starts_with("666") && !row[3].starts_with("000") && !row[3].starts_with('9'), "{}", row[3]);
        }
        assert_eq!(rows.iter().map(|row| &row[2]).collect::<HashSet<_>>().len(), rows.len());
    }

    #[test]
    fn people_were_born_before_they_joined() {
        for row in rows(Shop::write_customers) {
            assert!(row[6].as_str() >= "1940-01-01" && row[6].as_str() < "2008-01-01", "{}", row[6]);
            assert!(row[10].as_str() >= "2015-01-01", "{}", row[10]);
        }
    }
}
