from training.differences import differences


def test_settings_that_are_the_same_differ_in_nothing():
    assert list(differences({"a": 1, "t": {"b": [2]}}, {"a": 1, "t": {"b": [2]}})) == []


def test_a_setting_is_named_with_the_tables_it_stands_in():
    before, now = {"a": 1, "t": {"u": {"b": 2}}}, {"a": 1, "t": {"u": {"b": 3}}}
    assert list(differences(before, now)) == [("t.u.b", 2, 3)]


def test_a_setting_that_one_side_lacks_differs():
    before, now = {"t": {"old": 1}}, {"t": {"new": 2}}
    assert list(differences(before, now)) == [("t.new", None, 2), ("t.old", 1, None)]
