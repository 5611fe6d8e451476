/* The simulator's reader against one that others wrote: what it accepts, cJSON reads as the
 * same tree. Numbers are compared as far as its doubles are exact. */
#include "schema/json.h"
#include "schema/json_scan.h"
#include "tests/lib/check.h"

#include <cjson/cJSON.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_same(const json *ours, const cJSON *theirs)
{
    const cJSON *item = theirs->child;

    assert_int_equal(json_is_object(ours), cJSON_IsObject(theirs));
    assert_int_equal(json_is_array(ours), cJSON_IsArray(theirs));
    assert_int_equal(json_is_string(ours), cJSON_IsString(theirs));
    assert_int_equal(json_is_int(ours), cJSON_IsNumber(theirs));
    assert_int_equal(json_is_null(ours), cJSON_IsNull(theirs));
    assert_int_equal(json_is_bool(ours), cJSON_IsBool(theirs));
    assert_int_equal(json_bool(ours, false), cJSON_IsTrue(theirs));
    if (json_is_string(ours))
        assert_string_equal(json_str(ours, NULL), theirs->valuestring);
    if (json_is_int(ours))
        assert_true((double)json_int(ours, 0) == theirs->valuedouble);
    assert_int_equal(json_count(ours), cJSON_GetArraySize(theirs));
    for (const json *v = json_first(ours); v != NULL; v = json_next(v), item = item->next) {
        if (json_is_object(ours))
            assert_string_equal(json_key(v), item->string);
        check_same(v, item);
    }
    assert_null(item);
}

/* 1: both read it, and the same. */
static int compare(const char *text, size_t len)
{
    struct json_doc *doc = NULL;
    cJSON *theirs;

    if (json_parse("f", text, len, &doc, NULL) != 0)
        return 0;
    theirs = cJSON_ParseWithLength(text, len);
    assert_non_null(theirs);
    check_same(json_root(doc), theirs);
    cJSON_Delete(theirs);
    json_free(doc);
    return 1;
}

static int compare_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    static char text[1 << 20];
    size_t len;

    assert_non_null(f);
    len = fread(text, 1, sizeof text, f);
    fclose(f);
    return compare(text, len);
}

static void test_strings_numbers_and_nesting(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "\"\"",
        " [ 1 , -2 , 9007199254740991 , 0 , -0 ] ",
        "[true,false,null,[[[]]],{\"\":{\"\":\"\"}}]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
        "{\"\\u0061b\":\"plain \\u007f\\u0080\\u07ff\\u0800\\uffff\\ud800\\udc00\\udbff\\udfff end\"}",
        "\"\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 caf\xc3\xa9\"",
        "{\"a\":[{\"b\":1},{\"c\":[2,3,{\"d\":\"\\\\\"}]}],\"e\":[[],{}],\"f\":null}",
    };

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(texts); i++)
        assert_int_equal(compare(texts[i], strlen(texts[i])), 1);
}

static void test_every_file_of_the_fuzzers_corpus(void **state)
{
    static const char folder[] = "tests/fuzz/corpus/json";
    DIR *dir = opendir(folder);
    const struct dirent *e;
    int read = 0;

    (void)state;
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        char path[512];

        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            read += compare_file(path);
    }
    closedir(dir);
    assert_in_range(read, 5, 100000); /* the corpus is there, and holds texts that are right */
}

static const char told[] = "{\"result\":{\"vms\":[{\"id\":\"00000000-0000-4000-8000-000000000000\",\"name\":"
                           "\"a\\u0041\\\"\",\"up\":1234,\"on\":true},"
                           "{\"id\":\"00000000-0000-4000-8000-000000000001\",\"name\":\"vm1\",\"up\":-7,"
                           "\"on\":false,\"in\":[1,2,{\"x\":0}]}],"
                           "\"next\":null,\"n\":42},\"more\":[5]}";

/* What was read before is not scanned again: a text in which integers differ, or anything else does, is read as anew. */
static void test_a_text_told_again_with_other_numbers(void **state)
{
    static const char *const numbers[] = { "0", "5", "-1", "123456789012345678", "999999" };
    static const char *const wrong[] = { "01", "-", "1.5", "1e3", "", "1x", "1\"", "12]" };
    const char *at = strstr(told, "1234"), *behind = at + 4;
    char text[512];

    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(numbers); i++) {
        assert_int_equal(compare(told, strlen(told)), 1);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - told), told, numbers[i], behind);
        assert_int_equal(compare(text, strlen(text)), 1);
        snprintf(text, sizeof text, "{\"id\":1,\"result\":{\"data\":%.*s%s%s}", (int)(at - told - 10),
                 told + 10, numbers[i], behind);
        assert_int_equal(compare(text, strlen(text)), 1); /* inside a message */
    }
    for (unsigned i = 0; i < TABLE_LEN(wrong); i++) {
        assert_int_equal(compare(told, strlen(told)), 1);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - told), told, wrong[i], behind);
        assert_int_equal(compare(text, strlen(text)), 0);
    }
}

/* Any byte of it changed, put in or left out: accepted when the strict scan of the programs accepts it. */
static void test_a_text_told_again_with_any_byte_changed(void **state)
{
    static const char bytes[] = "0129-\",:{}[]\\ aetx\n\x01\x7f\xc3";
    unsigned accepted = 0, refused = 0;

    (void)state;
    for (size_t at = 0; at < strlen(told); at++)
        for (size_t k = 0; k < 3 * (sizeof bytes - 1); k++) {
            size_t how = k / (sizeof bytes - 1), len = strlen(told);
            struct json_scan strict = { 0 };
            char text[512];
            bool right;

            assert_int_equal(compare(told, len), 1);
            memcpy(text, told, at);
            text[at] = bytes[k % (sizeof bytes - 1)];
            memcpy(text + at + (how != 2), told + at + (how != 1), len - at - (how != 1));
            len = len + (how == 1) - (how == 2);
            right = json_scan(&strict, text, len);
            assert_int_equal(compare(text, len), right);
            json_scan_clear(&strict);
            accepted += right;
            refused += !right;
        }
    assert_in_range(accepted, 1000, 1000000);
    assert_in_range(refused, 1000, 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_numbers_and_nesting),
        cmocka_unit_test(test_every_file_of_the_fuzzers_corpus),
        cmocka_unit_test(test_a_text_told_again_with_other_numbers),
        cmocka_unit_test(test_a_text_told_again_with_any_byte_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
