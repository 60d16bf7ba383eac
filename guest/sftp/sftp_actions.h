/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each request does: one function each, by subject in sftp_files.c, sftp_directories.c,
 * sftp_names.c and sftp_extensions.c. Each finds its subject in the request, as sftp_server.c's tables
 * say, reads the other fields, and returns a status or SFTP_REPLIED; errno tells a failure's reason.
 */
#ifndef SP_SFTP_ACTIONS_H
#define SP_SFTP_ACTIONS_H

#include "sftp_request.h"

int sftp_do_open(struct sftp_request *q);
int sftp_do_close(struct sftp_request *q);
int sftp_do_read(struct sftp_request *q);
int sftp_do_write(struct sftp_request *q);
int sftp_do_fsync(struct sftp_request *q);
int sftp_do_copy_data(struct sftp_request *q);

int sftp_do_opendir(struct sftp_request *q);
int sftp_do_readdir(struct sftp_request *q);
int sftp_do_mkdir(struct sftp_request *q);
int sftp_do_rmdir(struct sftp_request *q);

int sftp_do_stat(struct sftp_request *q);
int sftp_do_lstat(struct sftp_request *q);
int sftp_do_fstat(struct sftp_request *q);
int sftp_do_setstat(struct sftp_request *q);
int sftp_do_lsetstat(struct sftp_request *q);
int sftp_do_fsetstat(struct sftp_request *q);
int sftp_do_realpath(struct sftp_request *q);
int sftp_do_readlink(struct sftp_request *q);
int sftp_do_remove(struct sftp_request *q);
int sftp_do_rename(struct sftp_request *q);
int sftp_do_posix_rename(struct sftp_request *q);
int sftp_do_hardlink(struct sftp_request *q);
int sftp_do_symlink(struct sftp_request *q);

int sftp_do_statvfs(struct sftp_request *q);
int sftp_do_fstatvfs(struct sftp_request *q);
int sftp_do_expand_path(struct sftp_request *q);
int sftp_do_home_directory(struct sftp_request *q);
int sftp_do_limits(struct sftp_request *q);
int sftp_do_users_groups(struct sftp_request *q);

#endif
