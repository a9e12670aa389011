//! Content detectors: any bytes, under a column's name of any kind.

use lockgate_detect::{Column, ColumnEvidence, Detectors, Kind};

/// Hits lie in the text, in order, and do not overlap; scanning again finds the same.
pub fn detect(data: &[u8]) {
    let detectors = Detectors::new(Kind::ALL.iter().copied(), Vec::new());
    let (name, text) = match data.iter().position(|b| *b == 0) {
        Some(end) => (data.get(..end).unwrap_or_default(), data.get(end + 1..).unwrap_or_default()),
        None => (&[][..], data),
    };
    let column = Column::named(name);
    let mut hits = Vec::new();
    detectors.scan(text, &column, &mut hits);
    let mut place = 0;
    for hit in &hits {
        assert!(
            place <= hit.start && hit.start < hit.end && hit.end <= text.len(),
            "{hit:?} of {}",
            text.escape_ascii()
        );
        place = hit.end;
    }
    let mut again = Vec::new();
    detectors.scan(text, &column, &mut again);
    assert_eq!(hits, again);
    // As the cells of a column.
    let mut evidence = ColumnEvidence::default();
    for cell in text.split(|b| *b == b'\n').take(64) {
        let _ = evidence.weigh(&detectors, cell, &column, &mut hits);
    }
}
