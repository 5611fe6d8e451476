# What `cmake --install` puts beside the programs (pw_program(... INSTALL) installs those).
if(NOT WIN32)
    # the unit names the program where it will stand
    file(READ "${CMAKE_SOURCE_DIR}/agent/patchwave-agent.service" unit)
    string(REPLACE "/usr/bin/" "${CMAKE_INSTALL_FULL_BINDIR}/" unit "${unit}")
    string(REPLACE "/usr/share/doc/patchwave" "${CMAKE_INSTALL_FULL_DOCDIR}" unit "${unit}")
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/patchwave-agent.service" CONTENT "${unit}" @ONLY)
    install(FILES "${CMAKE_BINARY_DIR}/patchwave-agent.service" DESTINATION lib/systemd/system)
endif()
install(DIRECTORY schema/ DESTINATION ${CMAKE_INSTALL_DATADIR}/patchwave/schema
    FILES_MATCHING PATTERN "*.schema.json" PATTERN "*.sql")
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY agent/drivers/ DESTINATION ${CMAKE_INSTALL_DATADIR}/patchwave/drivers USE_SOURCE_PERMISSIONS OPTIONAL)
install(DIRECTORY examples/rollouts examples/inventories examples/policies
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples OPTIONAL)
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
