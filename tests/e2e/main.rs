//! x
use lockgate_tests as _;
