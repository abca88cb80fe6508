/* files_int.h - what files.c (the page) and models.c (model files) share. */
#ifndef GOSS_SERVER_FILES_INT_H
#define GOSS_SERVER_FILES_INT_H
#include "../../src/base/buf.h"
#include "files.h"
typedef struct page_file {
    char url[256], etag[40];
    goss_buf plain, packed;
    struct MHD_Response *whole, *gzip;
} page_file;
struct goss_srv_files {
    const goss_srv_config *c;
    page_file *pages; int n_pages;
    char models[1024];              /* the folder of models, resolved; "" when there is none */
    char model_name[256];           /* the default model's base name, served from wherever it lies */
};
void goss_srv_files_headers(struct MHD_Response *r);
void goss_srv_files_find_models(goss_srv_files *f);
int goss_srv_files_lists(const char *header, const char *word);
#endif
