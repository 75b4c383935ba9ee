//! Extents: what a table or a list of elements becomes in the shape that a model takes. All arithmetic is checked.

/// How many elements a shape counts.
pub(crate) fn count(shape: &[u64]) -> Option<usize> {
    let product = shape.iter().try_fold(1_u64, |product, extent| product.checked_mul(*extent));
    product.and_then(|product| usize::try_from(product).ok())
}

/// A shape as it is written in messages.
pub(crate) fn shown(shape: &[u64]) -> String {
    format!("{shape:?}")
}

/// A number of things in memory as an extent.
pub(crate) fn extent(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// `wanted` for so many elements; -1, at most once, is what is left over.
pub(crate) fn reshape(wanted: &[i64], elements: usize) -> Option<Vec<u64>> {
    let known = wanted.iter().filter(|axis| **axis != -1).map(|axis| u64::try_from(*axis).ok());
    let known = count(&known.collect::<Option<Vec<u64>>>()?)?;
    let left_over = match wanted.iter().filter(|axis| **axis == -1).count() {
        0 if known == elements => 0,
        1 if known > 0 && elements.is_multiple_of(known) => elements.checked_div(known)?,
        _ => return None,
    };
    Some(wanted.iter().map(|axis| u64::try_from(*axis).unwrap_or_else(|_| extent(left_over))).collect())
}

/// The shape of a table for an input with these axes (negative ones are of any extent): rows and columns, a row or a column
/// alone, or for each row an item whose every axis is known.
pub(crate) fn of_table(rows: usize, columns: usize, axes: &[i64]) -> Option<Vec<u64>> {
    let (height, width) = (extent(rows), extent(columns));
    let shape = match axes {
        [] if (rows, columns) == (1, 1) => vec![],
        [_] if rows == 1 => vec![width],
        [_] if columns == 1 => vec![height],
        [_, _] => vec![height, width],
        [_, item @ ..] if item.len() > 1 => {
            let item: Vec<u64> = item.iter().map(|axis| u64::try_from(*axis).ok()).collect::<Option<_>>()?;
            if count(&item)? != columns {
                return None;
            }
            [vec![height], item].concat()
        }
        _ => return None,
    };
    let fits = |(axis, extent): (&i64, &u64)| *axis < 0 || u64::try_from(*axis) == Ok(*extent);
    axes.iter().zip(&shape).all(fits).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_shape_that_the_model_has_for_it() {
        for (rows, columns, axes, expected) in [
            (2, 30, &[-1, 30][..], Some(&[2, 30][..])),
            (2, 30, &[-1, -1], Some(&[2, 30])),
            (2, 31, &[-1, 30], None),
            (2, 30, &[1, 30], None),
            (1, 5, &[-1], Some(&[5])),
            (5, 1, &[5], Some(&[5])),
            (1, 1, &[-1], Some(&[1])),
            (2, 2, &[-1], None),
            (5, 1, &[4], None),
            (1, 1, &[], Some(&[])),
            (1, 2, &[], None),
            (3, 784, &[-1, 1, 28, 28], Some(&[3, 1, 28, 28])),
            (3, 783, &[-1, 1, 28, 28], None),
            (3, 784, &[-1, 1, -1, 28], None),
            (3, 0, &[-1, 0, i64::MAX, i64::MAX], Some(&[3, 0, i64::MAX as u64, i64::MAX as u64])),
            (3, 784, &[-1, i64::MAX, i64::MAX], None),
        ] {
            assert_eq!(of_table(rows, columns, axes).as_deref(), expected, "{rows} {columns} {axes:?}");
        }
    }

    #[test]
    fn what_is_left_over_is_counted_and_nothing_is_made_up() {
        for (wanted, elements, expected) in [
            (&[2, 3][..], 6, Some(&[2, 3][..])),
            (&[-1, 3], 6, Some(&[2, 3])),
            (&[], 1, Some(&[])),
            (&[2, 3], 7, None),
            (&[-1, 3], 7, None),
            (&[-1, -1], 6, None),
            (&[-1, 0], 0, None),
            (&[0], 0, Some(&[0])),
            (&[-2, 3], 6, None),
            (&[i64::MAX, i64::MAX], 6, None),
        ] {
            assert_eq!(reshape(wanted, elements).as_deref(), expected, "{wanted:?} {elements}");
        }
    }
}
