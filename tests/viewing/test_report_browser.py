"""The report in a real browser: its table sorts by mouse and keyboard, and the page asks for nothing."""

from pathlib import Path

from medssm.metrics import Evaluation, OrganScore
from medssm.viewing.report import write_report


def test_a_click_and_the_keyboard_sort_and_words_filter(tmp_path: Path, browser) -> None:
    dice = [0.5, 0.09, None, 0.75, 1.0, None, 0.1]
    scores = [
        OrganScore(f"case {k}", 6, "liver", "scored" if value else "absent", value, value, value, 10.0 * k, 2.5)
        for k, value in enumerate(dice)
    ]
    write_report(Evaluation(scores, 2.0, [], []), tmp_path / "report.html")

    def column(index: int) -> list[str]:
        rows = "[...document.querySelectorAll('#scores tbody tr')].filter((row) => !row.hidden)"
        return browser.run(f"return {rows}.map((row) => row.cells[{index}].textContent)")

    browser.driver.get("about:blank")
    browser.messages()
    browser.requests()
    browser.requested = []
    address = (tmp_path / "report.html").as_uri()
    browser.driver.get(address)
    assert column(4) == ["0.500", "0.090", "-", "0.750", "1.000", "-", "0.100"]
    browser.find("#scores th:nth-child(5) button").click()
    assert column(4) == ["0.090", "0.100", "0.500", "0.750", "1.000", "-", "-"]
    browser.press("\ue007")  # Enter, on the button that has the focus
    assert column(4) == ["1.000", "0.750", "0.500", "0.100", "0.090", "-", "-"]
    assert browser.run("return document.querySelector('#scores th:nth-child(5)').ariaSort") == "descending"
    browser.find("#scores th:nth-child(8) button").click()  # as numbers: 10.0 before 100.0 would be text
    assert column(7) == ["0.0", "10.0", "20.0", "30.0", "40.0", "50.0", "60.0"]
    browser.find("input[type=search]").send_keys("Absent 50.0")
    assert column(0) == ["case 5"]
    assert browser.find("input[type=search]").is_displayed()
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find("input[type=search]").is_displayed()  # a printed page cannot be searched
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert browser.messages() == []
    assert browser.requests() == [address]
