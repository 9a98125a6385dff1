"""examples/openssh: ssh, ssh-keygen and ssh-agent load the module themselves."""


def test_a_certificate_logs_in_and_an_agent_signs(with_module):
    ran = with_module("openssh")
    assert "Signing CA: ECDSA" in ran.stdout
    assert "logged in with a certificate\n" in ran.stdout
    assert "logged in by the agent\n" in ran.stdout
    assert 'Good "file" signature for alice with ECDSA key' in ran.stdout
