#!/bin/sh
# Makes the certificates of the TLS tests anew. They are kept, so that the tests need no OpenSSL; the authority's key isn't, and the
# server's key guards nothing but a port of a test.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
mkdir "$scratch/issued"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$scratch/authority.key" -out authority.pem \
    -days 36500 -subj "/CN=Test authority" -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out server.key
touch "$scratch/index"
cat > "$scratch/ca.conf" <<CONF
[ca]
default_ca = authority
[authority]
database = $scratch/index
new_certs_dir = $scratch/issued
certificate = authority.pem
private_key = $scratch/authority.key
default_md = sha256
rand_serial = yes
unique_subject = no
policy = any
[any]
commonName = supplied
CONF

# name, subject alternative names, extended key usage, first day, last day
issue() {
    openssl req -new -key server.key -subj "/CN=$1" -out "$scratch/$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\n' "$2" "$3" > "$scratch/$1.ext"
    openssl ca -batch -notext -config "$scratch/ca.conf" -extfile "$scratch/$1.ext" -in "$scratch/$1.csr" -out "$1.pem" \
        -startdate "$4" -enddate "$5"
}
here=DNS:localhost,IP:127.0.0.1
issue good "$here" serverAuth 20260101000000Z 21251231000000Z
issue other-name DNS:media.invalid serverAuth 20260101000000Z 21251231000000Z
issue client-only "$here" clientAuth 20260101000000Z 21251231000000Z
issue expired "$here" serverAuth 20000101000000Z 20010101000000Z
issue not-yet-valid "$here" serverAuth 21200101000000Z 21210101000000Z
