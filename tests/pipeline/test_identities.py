"""Identities: the published metadata in its real shapes, hostile names, and one person under two ids."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import DataError
from pipeline.identities import Identities, figures, load
from pipeline.names import clean, normalised, row_id, safe_id, sample_id

VOX1 = (
    "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    "id10001\tA.J._Buckley\tm\tIreland\tdev\n"
    "id10300\tHarry_Connick_Jr.\tm\tUSA\ttest\n"
    "id10301\tZoe_Testperson\tf\tUSA\tdev\n"
)
VOX2 = "\ufeffVoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev\nid04000 ,n004000 ,m ,test\n"
FULL_VOX2 = (
    "Class_ID,Name,Sample_Num,Flag,Gender_x,VoxCeleb2ID,VGGFace2ID,Gender_y,Set\n"
    "n000012,50_Cent_Test,300,1,m,id00012,n000012,m,dev\n"
    "n004000,Harry_Connick_Jr.,310,0,m,id04000,n004000,m,test\n"
    "n004001,Zoë_Testperson,310,0,f,id04001,n004001,f,dev\n"
    "n009263,Łukasz_Testowy,505,1,m,id09263,n009263,m,dev\n"
)
HOSTILE = ["../../etc/passwd", "<script>alert(1)</script>", "a\0b", "\u202egnp.exe", "x" * 300, "e\u0301" * 150, "..",
           ".", "", "CON", "-rf", "~root", "a/b", "a\\b", "\ud800", "नमस्ते", "name\nwith\nlines", "𝕬𝖑𝖎𝖈𝖊"]  # fmt: skip


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.fixture
def all_three(tmp_path: Path) -> Identities:
    return load(
        [
            write(tmp_path, "vox1_meta.csv", VOX1),
            write(tmp_path, "vox2_meta.csv", VOX2.replace("\n", "\r\n")),
            write(tmp_path, "full_vox2_meta.csv", FULL_VOX2),
        ]
    )


def test_vox1_is_tab_separated_with_names_and_nationality(tmp_path):
    person = load([write(tmp_path, "vox1_meta.csv", VOX1)]).people["id10001"]
    assert (person.name, person.gender, person.nationality) == ("A.J._Buckley", "m", "Ireland")
    assert (person.voxceleb_set, person.partition, person.position) == ("dev", "vox1", 0)


def test_vox2_has_a_byte_order_mark_stray_spaces_and_no_names(tmp_path):
    identities = load([write(tmp_path, "vox2_meta.csv", VOX2.replace("\n", "\r\n"))])
    person = identities.people["id00012"]
    assert (person.name, person.gender, person.voxceleb_set, person.partition) == (None, "m", "dev", "vox2")
    assert identities.people["id04000"].voxceleb_set == "test"
    assert identities.merged_people == 2


def test_the_joined_file_fills_in_the_names_of_the_bare_one(all_three):
    assert all_three.people["id00012"].name == "50_Cent_Test"
    assert len(all_three.people) == 7


def test_people_in_both_sets_are_counted_once_even_with_an_accent_in_one(all_three):
    assert figures(all_three) == {
        "ids": 7, "vox1": 3, "vox2": 4, "dev": 5, "test": 2, "with_name": 7,
        "people_with_several_ids": 2, "merged_people": 5,
    }  # fmt: skip
    assert all_three.double_ids == (("id04000", "id10300"), ("id04001", "id10301"))


def test_a_person_is_found_by_id_and_by_name_in_any_spelling(all_three):
    for text in ("id10001", " id10001 ", "A.J._Buckley", "a.j. buckley", "A J Buckley"):
        assert all_three.resolve(text).identity_id == "id10001"
    assert all_three.resolve("łukasz testowy").identity_id == "id09263"


def test_an_unlisted_folder_becomes_an_identity_of_the_users_own(all_three):
    person = all_three.resolve("ann_example")
    assert (person.identity_id, person.name, person.voxceleb_set) == ("ann_example", "ann_example", None)


def test_a_plain_csv_needs_only_an_id(tmp_path):
    path = write(tmp_path, "people.csv", "identity_id,name,gender\nspk-1,Ann Example,Female\nspk-2,,\n")
    people = load([path]).people
    assert (people["spk-1"].name, people["spk-1"].gender) == ("Ann Example", "f")
    assert (people["spk-2"].name, people["spk-2"].gender) == (None, None)


def test_an_unsafe_id_in_a_plain_csv_is_made_safe_and_still_found(tmp_path):
    identities = load([write(tmp_path, "people.csv", "identity_id,name\n../../etc/passwd,Ann\n")])
    assert identities.resolve("../../etc/passwd").name == "Ann"
    assert "/" not in next(iter(identities.people))


def test_every_fault_is_listed_with_file_and_line(tmp_path):
    plain = "identity_id,gender\nid1,m\nid1,m\n,f\nid2,x\nid3,f\n"
    files = [
        write(tmp_path, "plain.csv", plain),
        write(tmp_path, "other.csv", "identity_id,gender\nid3,m\n"),
        write(tmp_path, "what.csv", "a,b\n1,2\n"),
        tmp_path / "absent.csv",
    ]
    (tmp_path / "binary.csv").write_bytes(b"identity_id\n\xff\xfe\n")
    with pytest.raises(DataError) as caught:
        load([*files, tmp_path / "binary.csv"])
    message = str(caught.value)
    for fault in ("plain.csv:3: id1 again; first in line 2", "plain.csv:4: no identity id", "plain.csv:5: gender 'x'",
                  "other.csv:2: gender of id3 is 'm'; an earlier file says 'f'", "what.csv:1: no column", "absent.csv",
                  "binary.csv"):  # fmt: skip
        assert fault in message


def test_thousands_of_faults_do_not_flood_the_screen(tmp_path):
    with pytest.raises(DataError, match=r"and 950 more"):
        load([write(tmp_path, "p.csv", "identity_id,gender\n" + "".join(f"p{i},?\n" for i in range(1000)))])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_give_safe_ids_and_storable_names(text):
    person = Identities({}).resolve(text)
    assert safe_id(person.identity_id) == person.identity_id
    assert len(person.identity_id) <= 64
    assert not set(person.identity_id) & set("/\\<>&\"' \0")
    assert person.identity_id.strip(".") != ""
    if person.name is not None:
        person.name.encode()
        assert len(person.name) <= 200
        assert not set(person.name) & set("\0\n\u202e")


@given(st.text(max_size=60), st.text(max_size=60))
def test_two_texts_never_share_an_id_unless_only_spaces_around_differ(first, second):
    assert (safe_id(first) == safe_id(second)) == (first.strip() == second.strip())


@given(st.text(max_size=80))
def test_cleaning_and_normalising_twice_changes_nothing(text):
    assert clean(clean(text)) == clean(text)
    assert normalised(normalised(text)) == normalised(text)


def test_vowel_signs_of_other_scripts_are_not_accents():
    assert normalised("कि") != normalised("कु")


def test_row_and_sample_ids_depend_on_identity_and_content_alone():
    assert row_id("a", "http://x.test/1") == row_id("a", "http://x.test/1") != row_id("b", "http://x.test/1")
    assert sample_id("a", "00") != sample_id("a", "01")
    assert len(row_id("a", "b")) == len(sample_id("a", "b")) == 32


def test_the_real_metadata_reads_whole(real_data):
    identities = load([real_data / "meta" / "vox1_meta.csv", real_data / "meta" / "vox2_meta.csv"])
    found = figures(identities)
    assert (found["ids"], found["vox1"], found["vox2"]) == (7365, 1251, 6114)
    assert (found["with_name"], found["test"]) == (1251, 160)
    somebody = identities.people["id10001"]
    assert somebody.name is not None and somebody.nationality is not None
    assert identities.resolve(somebody.name.lower().replace("_", " ")) == somebody
    assert found["merged_people"] == 7365  # the published vox2 file has no names to merge by


def test_the_one_name_in_both_real_sets_is_merged(real_data, tmp_path):
    """The joined file is not among the test data: its one line that names a VoxCeleb1 person is planted here."""
    full = FULL_VOX2.splitlines()[0] + "\nn003000,Harry_Connick_Jr.,310,0,m,id99999,n099999,m,dev\n"
    meta = real_data / "meta"
    identities = load([meta / "vox1_meta.csv", meta / "vox2_meta.csv", write(tmp_path, "full.csv", full)])
    assert figures(identities)["merged_people"] == len(identities.people) - 1
