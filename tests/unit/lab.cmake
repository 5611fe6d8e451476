# pw_test(test_NAME unit test_NAME.c LIBS ...)
pw_test(test_lab_world unit test_lab_world.c LIBS hvlab_world test_temp_dir)
pw_test(test_lab_answers unit test_lab_answers.c ../lib/lab_answers.c LIBS hvlab_world orchestrator_core)
