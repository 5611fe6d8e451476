# pw_test(test_NAME unit test_NAME.c LIBS ...)
