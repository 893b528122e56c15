import subprocess
import sys
from pathlib import Path

import pytest

from taskgraft.plugin import EmptyConfig, UnreadableFile
from taskgraft_vision.image_folder import PATTERNS, read_image_folder


def folder(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"pixels")
    return root


def read(root):
    return read_image_folder(root, EmptyConfig())


def problem(root):
    with pytest.raises(UnreadableFile) as caught:
        read(root)
    return str(caught.value)


def reasons(rows):
    return {rows.value("image", row): reason for row, reason in rows.invalid.items()}


def test_the_label_is_the_first_folder_and_rows_are_sorted_by_path(tmp_path):
    root = folder(tmp_path / "pets", "dogs/2.jpg", "cats/b/1.PNG", "cats/a.webp", "dogs/1.jpeg")

    rows = read(root)

    assert rows.table.to_pydict() == {
        "image": ["cats/a.webp", "cats/b/1.PNG", "dogs/1.jpeg", "dogs/2.jpg"],
        "label": ["cats", "cats", "dogs", "dogs"],
    }
    assert (rows.source, rows.invalid, rows.lines) == ("pets", {}, None)


def test_paths_start_at_the_folder(tmp_path, monkeypatch):
    folder(tmp_path / "pets", "dogs/2.jpg")
    monkeypatch.chdir(tmp_path)

    rows = read(Path("pets"))

    assert (rows.folder / rows.value("image", 0)).read_bytes() == b"pixels"


def test_images_without_folders_have_no_label(tmp_path):
    assert read(folder(tmp_path, "b.jpg", "a.tif", "README.md")).table.to_pydict() == {"image": ["a.tif", "b.jpg"]}


def test_an_image_without_label_among_labelled_ones_is_invalid(tmp_path):
    rows = read(folder(tmp_path, "cats/1.jpg", "stray.png", "README.md"))

    assert rows.values("label") == ["cats", None]
    assert reasons(rows) == {"stray.png": "stray.png is not in the folder of a label"}


def test_hidden_files_are_ignored(tmp_path):
    rows = read(
        folder(
            tmp_path, "cats/1.jpg", "cats/._1.jpg", "cats/.DS_Store", "cats/Thumbs.db", ".git/1.jpg", "__MACOSX/1.jpg"
        )
    )

    assert rows.values("image") == ["cats/1.jpg"]
    assert rows.invalid == {}


def test_a_file_that_is_not_an_image_is_invalid_in_the_folder_of_a_label(tmp_path):
    rows = read(folder(tmp_path, "cats/1.jpg", "cats/notes.txt"))

    assert reasons(rows) == {"cats/notes.txt": "cats/notes.txt does not have the suffix of an image"}


def test_a_label_without_images_is_an_error(tmp_path):
    root = folder(tmp_path / "pets", "cats/1.jpg", "dogs/notes.txt")

    assert problem(root) == (f"{root}: the folder of the label 'dogs' has no image. Add images, or remove the folder.")


def test_a_folder_without_images_is_an_error(tmp_path):
    root = folder(tmp_path, "README.md")

    assert problem(root) == (
        f"{root}: the folder has no image. Image files end in .bmp, .gif, .jpeg, .jpg, .png, .ppm, .tif, .tiff, .webp."
    )


def test_a_file_is_not_a_folder(tmp_path):
    root = folder(tmp_path, "pets.zip") / "pets.zip"

    assert problem(root) == f"{root}: the folder cannot be listed (Not a directory)."


def test_links_out_of_the_folder_broken_links_and_links_to_folders_are_invalid(tmp_path):
    root = folder(tmp_path / "pets", "cats/1.jpg")
    folder(tmp_path, "secret/1.jpg")
    (root / "cats/out.jpg").symlink_to(tmp_path / "secret/1.jpg")
    (root / "cats/nowhere.jpg").symlink_to(root / "gone.jpg")
    (root / "cats/circle").symlink_to(root / "cats")
    (root / "dogs").symlink_to(tmp_path / "secret")

    rows = read(root)

    assert reasons(rows) == {
        "cats/circle": "cats/circle is a link to a folder; such links are not followed",
        "cats/nowhere.jpg": "cats/nowhere.jpg is a broken link",
        "cats/out.jpg": "cats/out.jpg is a link that points outside the folder",
        "dogs": "dogs is a link that points outside the folder",
    }


def test_a_link_inside_the_folder_is_an_image(tmp_path):
    root = folder(tmp_path / "pets", "cats/1.jpg")
    (root / "cats/2.jpg").symlink_to(root / "cats/1.jpg")
    (tmp_path / "also").symlink_to(root)

    rows = read(tmp_path / "also")

    assert (rows.values("image"), rows.invalid) == (["cats/1.jpg", "cats/2.jpg"], {})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_a_name_that_is_not_utf_8_is_invalid(tmp_path):
    root = folder(tmp_path, "cats/1.jpg")
    Path(str(root) + "/cats/\udcff.jpg").write_bytes(b"pixels")

    assert reasons(read(root)) == {"cats/\ufffd.jpg": "cats/\ufffd.jpg has a name that is not UTF-8"}


@pytest.mark.parametrize("name", ["cats/1.jpg", "1.jpg", "cats/1.JPG", "cats/1.webp", "1.TIFF"])
def test_a_folder_of_images_matches_a_pattern(tmp_path, name):
    root = folder(tmp_path, name)

    assert any(next(root.glob(pattern), None) for pattern in PATTERNS)


def test_a_folder_of_tables_matches_no_pattern(tmp_path):
    root = folder(tmp_path, "train.csv", "parts/1.parquet")

    assert not any(next(root.glob(pattern), None) for pattern in PATTERNS)


def test_importing_the_reader_imports_no_heavy_library():
    code = (
        "import sys, taskgraft_vision.image_folder, taskgraft_vision.augmentation_settings; "
        "print([name for name in ('torch', 'timm', 'PIL', 'numpy', 'pyarrow') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
