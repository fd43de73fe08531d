#!/bin/bash
# Run once by the image, on an empty data folder: a database and an account for each service that uses MySQL.
# In a shell of its own: the image sources a file that may not be executed, such as one of a ConfigMap, and goes on with
# the options that it has set.
(
    set -euo pipefail

    make_account() {
        local name=$1 password=$2
        # Inside single quotes of SQL: double what would end or escape.
        password=${password//\\/\\\\}
        password=${password//\'/\'\'}
        MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --protocol=socket --user=root <<SQL
CREATE DATABASE IF NOT EXISTS $name;
CREATE USER IF NOT EXISTS $name@'%' IDENTIFIED BY '$password';
GRANT ALL ON $name.* TO $name@'%';
SQL
    }

    make_account identity "$IDENTITY_DATABASE_PASSWORD"
    make_account subscription "$SUBSCRIPTION_DATABASE_PASSWORD"
)
