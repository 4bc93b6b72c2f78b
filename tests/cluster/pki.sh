#!/usr/bin/env bash
# Makes the cluster's certificates, keys and kubeconfigs. Started by up.sh.
set -euo pipefail
# shellcheck source=tests/cluster/cluster.sh
. "$(dirname "$0")/cluster.sh"
umask 077
mkdir "$pki"
cd "$pki"

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

authority() {
    openssl req -x509 "${new_key[@]}" -keyout "$1.key" -out "$1.crt" -subj "/CN=$1" -days 3650 \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# certificate NAME AUTHORITY SUBJECT USAGE [ALTERNATIVE_NAMES]
certificate() {
    openssl req "${new_key[@]}" -keyout "$1.key" -out "$1.csr" -subj "$3"
    {
        echo basicConstraints=CA:FALSE
        echo keyUsage=critical,digitalSignature
        echo "extendedKeyUsage=$4"
        [ -z "${5-}" ] || echo "subjectAltName=$5"
    } >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 3650 \
        -out "$1.crt" -extfile "$1.ext"
    rm "$1.csr" "$1.ext"
}

# client NAME SUBJECT: a certificate and the kubeconfig that carries it.
client() {
    certificate "$1" ca "$2" clientAuth
    cat >"$1.kubeconfig" <<K
apiVersion: v1
kind: Config
current-context: oiler
contexts: [{name: oiler, context: {cluster: oiler, user: $1}}]
clusters: [{name: oiler, cluster: {server: "https://$node_ip:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
K
}

authority ca
authority front-proxy-ca
openssl genrsa -out sa.key 2048
openssl rsa -in sa.key -pubout -out sa.pub
certificate apiserver ca /CN=kube-apiserver serverAuth \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$node_ip,IP:$api_ip"
certificate kubelet-server ca "/CN=$node" serverAuth "DNS:$node,IP:$node_ip"
certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
certificate front-proxy-client front-proxy-ca /CN=front-proxy-client clientAuth
client admin /O=system:masters/CN=admin
client kube-controller-manager /CN=system:kube-controller-manager
client kube-scheduler /CN=system:kube-scheduler
client kube-proxy /CN=system:kube-proxy
client kubelet "/O=system:nodes/CN=system:node:$node"
