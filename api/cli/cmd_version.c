/* cmd_version.c - `plait version`. */
#include "api/cli/command.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <microhttpd.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <yaml.h>

int cmd_version(const struct cli_args *args)
{
    (void)args;
    printf("plait %s\n", PLAIT_VERSION);
    printf("libcurl %s, libmicrohttpd %s, sqlite %s, libyaml %s, cJSON %s, libsodium %s\n",
           curl_version_info(CURLVERSION_NOW)->version, MHD_get_version(), sqlite3_libversion(),
           yaml_get_version_string(), cJSON_Version(), sodium_version_string());
    return EXIT_OK;
}
