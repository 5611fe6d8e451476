# cmake -P: fail when a source of a pure part sees a header it must not.
#   NAME      of the part, for messages          CC        the compiler
#   ROOT      the project's root                 SOURCES   its files, full paths
#   FOLDERS   project folders it may include from
#   STANDARD  standard headers it may include (others may come in only through these)
#   STAMP     written when all is well
#
# Two looks, because each alone can be fooled: the compiler's own dependency list (-M) shows everything that is
# really seen; the text shows what a file asks for itself, so that a header which the standard ones happen to bring in
# (sys/types.h on some systems) cannot be used on purpose. The allowed system headers are not listed by hand: they are
# what the compiler sees for a file that includes just STANDARD, hence right for any libc.
cmake_minimum_required(VERSION 3.25)

function(dependencies_of out)
    execute_process(COMMAND ${CC} -std=c11 -I${ROOT} -M ${ARGN}
        OUTPUT_VARIABLE text ERROR_VARIABLE errors RESULT_VARIABLE rc)
    if(NOT rc EQUAL 0)
        message(FATAL_ERROR "${NAME}: the compiler cannot list dependencies:\n${errors}")
    endif()
    string(REGEX REPLACE "[^ \n]+\\.o:" "" text "${text}")
    string(REGEX REPLACE "[ \\\n]+" ";" all "${text}")
    set(result)
    foreach(path IN LISTS all)
        if(path)
            file(REAL_PATH "${path}" path BASE_DIRECTORY "${ROOT}")
            list(APPEND result "${path}")
        endif()
    endforeach()
    list(REMOVE_DUPLICATES result)
    set(${out} "${result}" PARENT_SCOPE)
endfunction()

file(REAL_PATH "${ROOT}" ROOT)
set(probe "${STAMP}.probe.c")
set(text "")
foreach(header IN LISTS STANDARD)
    string(APPEND text "#include <${header}>\n")
endforeach()
file(WRITE "${probe}" "${text}")
dependencies_of(system_allowed "${probe}")
dependencies_of(seen ${SOURCES})

set(faults "")
set(own)
foreach(path IN LISTS seen)
    string(FIND "${path}" "${ROOT}/" at)
    if(at EQUAL 0)
        string(REPLACE "${ROOT}/" "" relative "${path}")
        list(APPEND own "${path}")
        set(ok NO)
        foreach(folder IN LISTS FOLDERS)
            string(FIND "${relative}" "${folder}/" at)
            string(REGEX MATCHALL "/" slashes "${relative}")
            string(REGEX MATCHALL "/" folder_slashes "${folder}/")
            if(at EQUAL 0 AND slashes STREQUAL folder_slashes)
                set(ok YES)
            endif()
        endforeach()
        if(NOT ok)
            string(APPEND faults "  sees ${relative}, which is not in: ${FOLDERS}\n")
        endif()
    elseif(NOT path IN_LIST system_allowed)
        string(APPEND faults "  sees ${path}, which no allowed standard header brings in\n")
    endif()
endforeach()

foreach(path IN LISTS own)
    string(REPLACE "${ROOT}/" "" relative "${path}")
    file(STRINGS "${path}" lines REGEX "^[ \t]*#[ \t]*include")
    foreach(line IN LISTS lines)
        if(line MATCHES "include[ \t]*<([^>]*)>" AND NOT CMAKE_MATCH_1 IN_LIST STANDARD)
            string(APPEND faults "  ${relative} includes <${CMAKE_MATCH_1}>\n")
        elseif(NOT line MATCHES "include[ \t]*[<\"]")
            string(APPEND faults "  ${relative} includes by a macro: ${line}\n")
        endif()
    endforeach()
endforeach()

if(faults)
    message(FATAL_ERROR "${NAME} is not pure:\n${faults}")
endif()
file(WRITE "${STAMP}" "${NAME} sees ${FOLDERS} and standard headers only\n")
