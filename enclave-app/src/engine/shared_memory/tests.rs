#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the numbers of these tests are small, or bits"
)]

use super::*;

fn sample(datatype: Datatype, count: usize) -> Elements {
    if datatype == Datatype::Bytes {
        let texts: Vec<String> = (0..count).map(|at| "é".repeat(at % 3)).collect();
        return Elements::Bytes(Strings::of(&texts).unwrap());
    }
    let bytes: Vec<u8> = (0..count * datatype.least_size())
        .map(|at| if datatype == Datatype::Bool { at % 2 } else { at % 251 } as u8)
        .collect();
    Elements::from_le_bytes(datatype, count, &bytes).unwrap()
}

#[test]
fn tensors_come_back_as_they_went() {
    let memory = SharedMemory::create(4 << 20, 4 << 20).unwrap();
    for datatype in Datatype::ALL {
        // None, some, and more than a piece.
        for count in [0, 3, PIECE_BYTES + 5] {
            let elements = sample(datatype, count);
            let head = Head::new(7, datatype, &[count as i64, 1], elements.bytes()).unwrap();
            let mut to = memory.outputs();
            to.write_head(&head).unwrap();
            to.write_elements(&(&elements).into()).unwrap();
            let written = to.since(&memory.outputs());
            assert_eq!(written as usize, HEAD_BYTES + elements.bytes());
            let mut from = memory.outputs().limit(written);
            let read = from.read_head().unwrap();
            assert_eq!(
                (read, read.datatype(), read.dimensions()),
                (head, Some(datatype), Some(&[count as i64, 1][..]))
            );
            let bytes = read.bytes(datatype, count).unwrap();
            assert_eq!(bytes, elements.bytes());
            assert!(from.read_elements(datatype, count, bytes).unwrap() == elements, "{datatype:?} {count}");
            assert!(matches!(from.read(&mut [0]), Err(TransferError::Outside)));
        }
    }
}

#[test]
fn strings_whose_lengths_lie_are_none() {
    let memory = SharedMemory::create(0, 1000).unwrap();
    let two = b"\x01\0\0\0a\x02\0\0\0bc";
    let read = |bytes: &[u8], count| {
        memory.outputs().write(bytes).unwrap();
        memory.outputs().read_elements(Datatype::Bytes, count, bytes.len())
    };
    assert!(read(two, 2).is_ok());
    for (at, value, error) in [
        (0, 2, StringsError::NotText { element: 0 }),
        (0, 8, StringsError::Ends { element: 0 }),
        (5, 3, StringsError::Ends { element: 1 }),
        (5, 1, StringsError::Rest { bytes: 1, elements: 2 }),
        (8, 0x80, StringsError::Ends { element: 1 }),
        (10, 0xff, StringsError::NotText { element: 1 }),
    ] {
        let mut lies = two.to_vec();
        lies[at] = value;
        if at == 0 && value == 2 {
            lies[4..6].copy_from_slice(&[0xff, 0xff]);
        }
        assert!(matches!(read(&lies, 2), Err(TransferError::Strings(found)) if found == error), "{at} {value}");
    }
    // Fewer bytes than so many lengths have, and more than there are.
    assert!(matches!(read(two, 3), Err(TransferError::Outside)));
    for bytes in [1001, usize::MAX] {
        let read = memory.outputs().read_elements(Datatype::Bytes, 0, bytes);
        assert!(matches!(read, Err(TransferError::Outside)));
    }
    // Only strings say how many bytes they have.
    let head = |datatype| Head { string_bytes: 8, ..Head::new(0, datatype, &[1], 8).unwrap() };
    assert_eq!(head(Datatype::Bytes).bytes(Datatype::Bytes, 2), Some(8));
    assert_eq!(head(Datatype::Bytes).bytes(Datatype::Bytes, 3), None);
    assert_eq!(head(Datatype::Fp64).bytes(Datatype::Fp64, 1), None);
    assert_eq!(Head::new(0, Datatype::Fp64, &[1], 8).unwrap().bytes(Datatype::Fp64, 1), Some(8));
    assert_eq!(Head::new(0, Datatype::Bytes, &[1], 1 << 32), None);
}

#[test]
fn nothing_is_read_or_written_outside_its_region() {
    let memory = SharedMemory::create(100, 50).unwrap();
    let mut inputs = memory.inputs();
    inputs.write(&[1; 100]).unwrap();
    assert!(matches!(inputs.write(&[1]), Err(TransferError::Outside)));
    assert!(matches!(memory.inputs().write(&[1; 101]), Err(TransferError::Outside)));
    let mut read = [0; 50];
    memory.outputs().read(&mut read).unwrap();
    assert_eq!(read, [0; 50]);
    assert!(matches!(memory.outputs().read_vec(51), Err(TransferError::Outside)));
    // Before anything is allocated.
    for count in [51, usize::MAX / 8, usize::MAX] {
        assert!(matches!(
            memory.outputs().read_elements(Datatype::Fp64, count, count.saturating_mul(8)),
            Err(TransferError::Outside)
        ));
    }
    assert!(matches!(memory.outputs().write_elements(&Borrowed::Fp64(&[0.0; 7])), Err(TransferError::Outside)));
    memory.outputs().write_elements(&Borrowed::Fp64(&[0.0; 6])).unwrap();
    assert_eq!(memory.file().set_len(1 << 20).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(memory.file().set_len(1).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_head_is_read_as_it_was_written_whatever_it_says() {
    let memory = SharedMemory::create(0, 1000).unwrap();
    let mut bytes = vec![0xff; HEAD_BYTES];
    bytes[8..12].copy_from_slice(&17_u32.to_le_bytes());
    memory.outputs().write(&bytes).unwrap();
    let head = memory.outputs().read_head().unwrap();
    assert_eq!((head.index, head.datatype(), head.rank, head.dimensions()), (u32::MAX, None, 17, None));
    assert_eq!(head.dimensions, [-1; MAX_RANK]);
    assert_eq!(Head::new(0, Datatype::Bool, &[1; 17], 1), None);
    // A truth that is neither is one of the two.
    memory.outputs().write(&[0, 1, 2, 255]).unwrap();
    let read = memory.outputs().read_elements(Datatype::Bool, 4, 4).unwrap();
    assert!(read == Elements::Bool(vec![false, true, true, true]));
}

#[test]
fn what_was_used_is_overwritten_and_given_back() {
    let memory = SharedMemory::create(8 << 20, 8 << 20).unwrap();
    let blocks = || rustix::fs::fstat(memory.file()).unwrap().st_blocks * 512;
    let used = vec![7; 4 << 20];
    memory.inputs().write(&used).unwrap();
    memory.outputs().write(&used[..1000]).unwrap();
    assert!(blocks() >= 4 << 20);
    memory.wipe_inputs(4 << 20).unwrap();
    memory.wipe_outputs(1000).unwrap();
    assert!(blocks() <= 8192, "{}", blocks());
    assert!(memory.inputs().read_vec(4 << 20).unwrap().iter().all(|byte| *byte == 0));
    assert!(memory.outputs().read_vec(1001).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn of_a_failed_run_all_that_was_written_is_overwritten_and_given_back() {
    let memory = SharedMemory::create(1000, 8 << 20).unwrap();
    let blocks = || rustix::fs::fstat(memory.file()).unwrap().st_blocks * 512;
    memory.wipe_all_outputs().unwrap();
    memory.inputs().write(&[5; 1000]).unwrap();
    let written = || memory.outputs().read_vec(8 << 20).unwrap().iter().filter(|byte| **byte != 0).count();
    for places in [&[0][..], &[0, 3 << 20, (8 << 20) - 100], &[2 << 20]] {
        for place in places {
            let mut to = memory.outputs();
            to.skip(*place).unwrap();
            to.write(&[7; 100]).unwrap();
        }
        assert_eq!(written(), 100 * places.len());
        memory.wipe_all_outputs().unwrap();
        assert_eq!(written(), 0);
        assert!(blocks() <= 8192, "{}", blocks());
    }
    // And nothing before it.
    assert_eq!(memory.inputs().read_vec(1000).unwrap(), [5; 1000]);
}
