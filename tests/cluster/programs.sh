# The cluster's programs: how each is started, stopped and asked whether it lives. To be sourced
# after cluster.sh.

# shellcheck disable=SC2034 # the order in which up.sh starts them
programs=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy network-policies)

# run NAME COMMAND...: in the cluster's namespaces, with its log in the state directory.
run() {
    local name=$1
    shift
    rm -f "$state/pid/$name"
    # shellcheck disable=SC2016 # the inner shell expands these
    setsid nohup nsenter --target "$(holder)" --mount --net --pid -- \
        bash -c 'echo $$ >"$0"; exec "$@"' "$state/pid/$name" "$@" \
        </dev/null >>"$state/log/$name" 2>&1 9>&- &
}

# The process ids in the files are those of the cluster's own process namespace.
lives() {
    local pid
    pid=$(cat "$state/pid/$1" 2>/dev/null) && [ -n "$pid" ] || return 1
    inside sh -c 'case $(readlink "/proc/$0/exe") in */"$1"*) ;; *) exit 1 ;; esac' "$pid" "$1" 2>/dev/null
}

stop() {
    lives "$1" || return 0
    inside kill "${2:--TERM}" "$(cat "$state/pid/$1")"
    wait_for 60 "$1 to end" eval "! lives $1"
}

start() {
    local bin own
    bin=$(kubernetes_bin)
    own=--kubeconfig=$pki/$1.kubeconfig
    case $1 in
        etcd) run etcd "$bin/etcd" --name=$node --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn \
            --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
            --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
            --initial-cluster=$node=http://127.0.0.1:2380 ;;
        kube-apiserver) start_apiserver "$bin" ;;
        kube-controller-manager) run "$1" "$bin/$1" "$own" --authentication-kubeconfig="$pki/$1.kubeconfig" \
            --authorization-kubeconfig="$pki/$1.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false \
            --use-service-account-credentials=true --service-account-private-key-file="$pki/sa.key" \
            --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" \
            --cluster-signing-key-file="$pki/ca.key" --controllers='*' ;;
        kube-scheduler) run "$1" "$bin/$1" "$own" --authentication-kubeconfig="$pki/$1.kubeconfig" \
            --authorization-kubeconfig="$pki/$1.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false ;;
        containerd) run "$1" containerd --config "$state/config/containerd.toml" ;;
        kubelet) run "$1" "$bin/$1" "$own" --config="$state/config/kubelet.yaml" \
            --hostname-override=$node --node-ip=$node_ip --root-dir="$state/kubelet" ;;
        kube-proxy) run "$1" "$bin/$1" --config="$state/config/kube-proxy.yaml" ;;
        network-policies) run "$1" "$bin/$("$root/tests/tools/kubernetes/$1/name.sh")" --kubeconfig="$kubeconfig" ;;
        *) die "no program of the cluster's is called $1: ${programs[*]}" ;;
    esac
}

start_apiserver() {
    run kube-apiserver "$1/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
        --advertise-address=$node_ip --bind-address=$node_ip --secure-port=6443 \
        --service-cluster-ip-range=$service_cidr --allow-privileged=true --profiling=false \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
        --audit-policy-file="$state/config/audit-policy.yaml" --audit-log-path="$state/audit.log" \
        --audit-log-maxsize=1000 \
        --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" \
        --tls-private-key-file="$pki/apiserver.key" \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
        --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
        --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
        --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
        --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/front-proxy-client.crt" \
        --proxy-client-key-file="$pki/front-proxy-client.key"
}

# Whether a program that lives can be used.
answers() {
    case $1 in
        etcd) in_network curl -sf --max-time 5 http://127.0.0.1:2379/health ;;
        kube-apiserver) in_network curl -sf --max-time 5 --cacert "$pki/ca.crt" "https://$node_ip:6443/readyz" ;;
        kube-controller-manager) in_network curl -skf --max-time 5 https://127.0.0.1:10257/healthz ;;
        kube-scheduler) in_network curl -skf --max-time 5 https://127.0.0.1:10259/healthz ;;
        containerd) inside ctr --address "$containerd_socket" version ;;
        kubelet) in_network curl -sf --max-time 5 http://127.0.0.1:10248/healthz ;;
        kube-proxy) in_network curl -sf --max-time 5 http://127.0.0.1:10256/healthz ;;
        network-policies) inside iptables -w -t mangle -C INPUT -j OILER-POLICY ;;
    esac
}

# ensure NAME: it lives and answers. One that has died is started again.
ensure() {
    if ! lives "$1"; then
        say "starting $1"
        start "$1"
        wait_for 30 "$1 to start" lives "$1" || die_with_log "$1"
    fi
    answers "$1" >/dev/null 2>&1 && return
    wait_for 120 "$1 to answer" lives_and_answers "$1" || die_with_log "$1"
}

lives_and_answers() { lives "$1" && answers "$1"; }

die_with_log() { die "$1 does not work: $(tail -2 "$state/log/$1" | cut -c -400)"; }
