# SPDX-License-Identifier: Apache-2.0
# Run by ctest: asks a Catch2 program for its cases and adds one test for each. See weft_add_test.cmake.

if(NOT EXISTS "${weft_test_program}")
    add_test("${weft_test_name}.NOT_BUILT" "${weft_test_program}")
    return()
endif()

math(EXPR weft_test_timeout "${weft_test_timeout} * ${weft_test_timeout_factor}")

# --list-tests exits with the number of cases; a crash gives a name instead. Each name is indented by two, its
# tags by six.
execute_process(COMMAND "${weft_test_program}" --list-tests OUTPUT_VARIABLE listing RESULT_VARIABLE count TIMEOUT 30)
if(NOT count MATCHES "^[0-9]+$" OR count EQUAL 0)
    add_test("${weft_test_name}.NO_CASES_LISTED" "${weft_test_program}" --list-tests)
    set_tests_properties("${weft_test_name}.NO_CASES_LISTED" PROPERTIES WILL_FAIL FALSE TIMEOUT 30 LABELS "${weft_test_labels}"
        FAIL_REGULAR_EXPRESSION "0 test cases")
    return()
endif()

string(REPLACE ";" "\\;" listing "${listing}")
string(REPLACE "[" "<" listing "${listing}") # brackets group list items
string(REPLACE "]" ">" listing "${listing}")
string(REPLACE "\n" ";" lines "${listing}")
set(case "")
foreach(line IN LISTS lines)
    if(line MATCHES "^  ([^ ].*)$")
        set(case "${CMAKE_MATCH_1}")
        set(test "${weft_test_name}.${case}")
        string(REPLACE "," "\\," filter "${case}")
        add_test("${test}" "${weft_test_program}" "${filter}")
        set_tests_properties("${test}" PROPERTIES TIMEOUT "${weft_test_timeout}" LABELS "${weft_test_labels}")
    elseif(line MATCHES "^      <" AND case)
        set(labels "${weft_test_labels}")
        if(line MATCHES "<long>")
            list(APPEND labels long)
        endif()
        if(line MATCHES "<serial>")
            set_tests_properties("${test}" PROPERTIES RUN_SERIAL TRUE)
        endif()
        if(line MATCHES "<timeout:([0-9]+)>")
            math(EXPR timeout "${CMAKE_MATCH_1} * ${weft_test_timeout_factor}")
            set_tests_properties("${test}" PROPERTIES TIMEOUT "${timeout}")
        endif()
        set_tests_properties("${test}" PROPERTIES LABELS "${labels}")
    endif()
endforeach()
