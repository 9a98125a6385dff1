"""`keystead console verify`: whether the console is the one of the package."""

from tests.support.edge import running_edge


def test_the_console_of_a_server_is_the_one_of_the_package(keystead):
    ran = keystead("console", "verify")
    assert ran.status == 0
    assert "are those of this package" in ran.err


def test_a_console_that_is_another_is_named(command):
    with running_edge(pages={}) as edge:
        edge.answer_all(200, body=b"<script>steal()</script>")
        ran = command("console", "verify", "--host", f"127.0.0.1:{edge.port}", "--insecure")
    assert ran.status == 1
    assert "/main.js" in ran.err
    assert ran.out == ""
