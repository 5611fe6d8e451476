# The pure parts of the transport.
foreach(name backoff rate ssh_bcrypt ssh_hostkeys ssh_proxy ssh_wire)
    pw_test(test_${name} unit test_${name}.c LIBS orchestrator_io)
endforeach()
